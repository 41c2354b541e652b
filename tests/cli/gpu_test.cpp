// heft train --device cuda: the CPU's run within rounding, and the same bits however it is run.
#ifdef HEFT_CLI_PATH

#include <nlohmann/json.hpp>
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
  std::string training(const std::string& name, const std::string& flags) const {
    return "train --data idx --data-dir " + folder.path() +
           " --threads 1 --model lenet5 --batch-size 16 --optimizer absgd --lambda 2 " + settings_ + flags + " --out " +
           at(name);
  }
  void run(const std::string& arguments) const {
    const Result result = heft_command(folder, arguments);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
  }

 private:
  std::string settings_;
};

}  // namespace

TEST_CASE("heft train --device cuda: recorded, operation by operation or gone on with, a run has the same bits",
          "[cli][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("heft train on a GPU: " + cuda::why_unavailable());
  // Lambda from the first epoch on, and an early end: sums of the steps must not depend on where a run was broken off.
  const Runs runs("--device cuda --augment crop-flip --lambda-from-epoch 1 --epochs 2 --checkpoint-every 4 ");
  runs.run(runs.training("recorded", ""));
  runs.run(runs.training("eager", "--no-graph"));
  const std::string recorded = runs.at("recorded"), eager = runs.at("eager"), killed = runs.at("killed");
  CHECK(metrics_of(eager) == metrics_of(recorded));
  for (const char* file : {"/model.safetensors", "/best.safetensors", "/steps.jsonl", "/snapshots.jsonl"}) {
    INFO(file);
    CHECK(read_text(eager + file) == read_text(recorded + file));
  }
  if (WIFSIGNALED(status_after(start(runs.training("killed", "")), killed + "/state.safetensors", SIGKILL)))
    runs.run("train --resume " + killed);
  check_same_run(killed, recorded);
}

TEST_CASE("heft train --device cuda: with exact products it is the CPU's run, and its model is anyone's", "[cli][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("heft train on a GPU: " + cuda::why_unavailable());
  const Runs runs("--epochs 1 ");
  runs.run(runs.training("cpu", ""));
  runs.run(runs.training("gpu", "--device cuda --precision f32"));
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
