// heft train --device cuda: the CPU's run within rounding, and the same bits however it is run.
#ifdef HEFT_CLI_PATH

#include <cmath>
#include <string>

#include "cuda/cuda.h"
#include "tests/catch_compat.h"
#include "tests/cli/killed.h"
#include "tests/cli/program.h"
#include "tests/train/blobs.h"

using namespace heft;
using namespace heft::test;

namespace {

struct Runs {
  TemporaryDirectory folder;
  explicit Runs(const std::string& settings) : settings_(settings) { write_blobs(folder, {40, 36, 20}, {10, 10, 10}); }
  std::string at(const std::string& name) const { return folder.file(name); }
  void train(const std::string& name, const std::string& flags) const {
    const Result result =
        heft_command(folder, "train --data idx --data-dir '" + folder.path() +
                                 "' --threads 1 --model lenet5 --batch-size 16 --optimizer absgd --lambda 2 " + settings_ +
                                 flags + " --out " + at(name));
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
  }
  void check_same_bits(const std::string& a, const std::string& b) const {
    CHECK(metrics_of(at(a)) == metrics_of(at(b)));
    for (const char* file : {"/model.safetensors", "/best.safetensors", "/steps.jsonl", "/snapshots.jsonl"}) {
      INFO(file);
      CHECK(read_text(at(a) + file) == read_text(at(b) + file));
    }
  }

 private:
  std::string settings_;
};

}  // namespace

TEST_CASE("heft train --device cuda: recorded, operation by operation or gone on with, a run has the same bits",
          "[cli][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("heft train on a GPU: " + cuda::why_unavailable());
  const Runs runs("--device cuda --augment crop-flip ");
  runs.train("recorded", "--epochs 2");
  runs.train("eager", "--epochs 2 --no-graph");
  runs.check_same_bits("recorded", "eager");
  const std::string killed = "train --data idx --data-dir " + runs.folder.path() +
                             " --threads 1 --model lenet5 --batch-size 16 --optimizer absgd --lambda 2 --device cuda --augment "
                             "crop-flip --epochs 2 --checkpoint-every 4 --out " +
                             runs.at("killed");
  const int status = status_after(start(killed), runs.at("killed") + "/state.safetensors", SIGKILL);
  if (WIFSIGNALED(status)) REQUIRE(heft_command(runs.folder, "train --resume " + runs.at("killed")).exit_code == 0);
  runs.check_same_bits("killed", "recorded");
}

TEST_CASE("heft train --device cuda: with exact products it is the CPU's run, and its model is anyone's", "[cli][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("heft train on a GPU: " + cuda::why_unavailable());
  const Runs runs("--epochs 1 ");
  runs.train("cpu", "");
  runs.train("gpu", "--device cuda --precision f32");
  const auto cpu = metrics_of(runs.at("cpu")), gpu = metrics_of(runs.at("gpu"));
  REQUIRE(cpu.size() == gpu.size());
  for (std::size_t line = 0; line < cpu.size(); ++line)
    for (const auto& [key, value] : cpu[line].items()) {
      INFO(key);
      if (value.is_number_float()) CHECK(gpu[line].at(key).get<double>() == Approx(value.get<double>()).epsilon(1e-3));
    }
  // A model that was trained there, evaluated here and there.
  const auto evaluation = [&](const std::string& device) {
    const Result result = heft_command(runs.folder, "eval " + runs.at("gpu") + " --json --threads 1 --device " + device);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return nlohmann::json::parse(result.out);
  };
  CHECK(evaluation("cuda").at("accuracy") == evaluation("cpu").at("accuracy"));
}

#endif
