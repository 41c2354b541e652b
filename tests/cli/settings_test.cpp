// Settings of heft train from a file, from the environment and from flags; what is refused there, and where.
#ifdef HEFT_CLI_PATH

#include <nlohmann/json.hpp>
#include <string>

#include "tests/catch_compat.h"
#include "tests/cli/program.h"
#include "tests/train/blobs.h"
#include "tests/train/files.h"

using heft::test::contains;
using heft::test::heft_command;
using heft::test::read_text;
using heft::test::Result;
using heft::test::TemporaryDirectory;
using nlohmann::json;

namespace {

struct Blobs {
  TemporaryDirectory folder;
  Blobs() { heft::test::write_blobs(folder, {60, 60, 60, 60}, {10, 10, 10, 10}); }
  std::string fields() const {
    return "epochs = 1\nthreads = 1\nmodel = 'mlp'\nbatch_size = 32\nout = '" + folder.file("run") +
           "'\ndata.data = 'idx'\ndata.dir = '" + folder.path() + "'\n";
  }
  Result train(const std::string& config, const std::string& flags = "", const std::string& environment = "") const {
    folder.write("a.toml", config);
    return heft_command(folder, "train --overwrite --config '" + folder.file("a.toml") + "' " + flags, environment);
  }
  std::string file(const char* name) const { return read_text(folder.file(name)); }
};

}  // namespace

TEST_CASE("heft train: flags outdo the environment, which outdoes the file", "[cli][settings]") {
  const Blobs data;
  const Result result = data.train(data.fields() + "seed = 3\nlr = 0.1\nmomentum = 0.5\nweight_decay = 0.25\n", "--lr 0.3",
                                   "HEFT_TRAIN_LR=0.2 HEFT_TRAIN_MOMENTUM=0.6 HEFT_TRAIN_DATA_IMBALANCE=exp:0.5 "
                                   "HEFT_TRAIN_LOSS_OPTIONS_LABEL_SMOOTHING=0.1 ");
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const json config = json::parse(data.file("run/config.json"));
  CHECK(config["lr"] == 0.3);
  CHECK(config["momentum"] == 0.6);
  CHECK(config["weight_decay"] == 0.25);
  CHECK(config["data"]["imbalance"] == "exp:0.5");
  CHECK(config["loss_options"]["label_smoothing"] == 0.1);
  CHECK(config["seed"] == 3);
  CHECK(config["data"]["seed"] == 3);
  REQUIRE(data.train(data.fields() + "seed = 3\ndata.seed = 4\n").exit_code == 0);
  CHECK(json::parse(data.file("run/config.json"))["data"]["seed"] == 4);
  REQUIRE(data.train(data.fields() + "data.seed = 4\n", "--seed 5").exit_code == 0);
  CHECK(json::parse(data.file("run/config.json"))["data"]["seed"] == 5);
}

TEST_CASE("heft train: where it writes is a setting too", "[cli][settings]") {
  const Blobs data;
  REQUIRE(data.train(data.fields(), "--out '" + data.folder.file("flag") + "'").exit_code == 0);
  CHECK_FALSE(data.file("flag/config.json").empty());
  REQUIRE(data.train(data.fields(), "", "HEFT_TRAIN_OUT='" + data.folder.file("variable") + "' ").exit_code == 0);
  CHECK_FALSE(data.file("variable/config.json").empty());
  CHECK(data.file("run/config.json").empty());
}

TEST_CASE("heft train: config.toml of a run repeats it", "[cli][settings]") {
  const Blobs data;
  REQUIRE(data.train(data.fields() + "seed = 3\noptimizer = 'absgd'\nlambda = inf\ndata.imbalance = 'exp:0.5'\n").exit_code ==
          0);
  const std::string config = data.file("run/config.toml");
  CHECK(contains(config, "lambda = inf\n"));
  const Result again = heft_command(data.folder, "train --threads 1 --config '" + data.folder.file("run/config.toml") +
                                                     "' --out '" + data.folder.file("again") + "'");
  INFO(again.err);
  REQUIRE(again.exit_code == 0);
  CHECK(data.file("again/config.toml") == config);
  CHECK(data.file("again/config.json") == data.file("run/config.json"));
  CHECK(data.file("again/model.safetensors") == data.file("run/model.safetensors"));
}

TEST_CASE("heft train: the settings in the README", "[cli][settings]") {
  const Blobs data;
  const std::string readme = read_text("README.md"), file = "$ cat tail.toml\n";
  const std::size_t begin = readme.find(file) + file.size(), end = readme.find("$ HEFT_TRAIN_", begin);
  REQUIRE(end != std::string::npos);
  CHECK(readme.substr(end, readme.find('\n', end) - end) ==
        "$ HEFT_TRAIN_DATA_IMBALANCE=exp:0.1 heft train --config tail.toml --lambda 5");
  const std::string settings = "threads = 1\nmodel = 'mlp'\ndata.data = 'idx'\ndata.dir = '" + data.folder.path() + "'\n";
  const Result result =
      data.train(readme.substr(begin, end - begin) + settings, "--epochs 2 --lambda 5 --out '" + data.folder.file("run") + "'",
                 "HEFT_TRAIN_DATA_IMBALANCE=exp:0.1 ");
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const json config = json::parse(data.file("run/config.json"));
  CHECK(config["data"]["imbalance"] == "exp:0.1");
  CHECK(config["optimizer"] == "absgd");
}

TEST_CASE("heft train: what is wrong in the settings is named with its place", "[cli][settings]") {
  const Blobs data;
  const auto refusal = [&](const std::string& config, const std::string& environment = "", int exit_code = 2) {
    const Result result = data.train(config, "", environment);
    INFO(config << environment << "\n" << result.err);
    CHECK(result.exit_code == exit_code);
    CHECK(result.out.empty());
    return result.err;
  };
  CHECK(contains(refusal("epochs = 1\nlamda = 5\n"), "a.toml:2, perhaps lambda; got 'lamda'"));
  CHECK(contains(refusal("imbalance = 'exp:0.1'\n"), "a.toml:1, perhaps data.imbalance; got 'imbalance'"));
  CHECK(contains(refusal("thread = 1\n"), "perhaps threads; got 'thread'"));
  CHECK(contains(refusal("[data]\nnoize = 'none'\n"), "a.toml:2, perhaps data.noise; got 'data.noize'"));
  CHECK(contains(refusal("\nlr = 'fast'\n"), "expected a number for lr at "));
  CHECK(contains(refusal("\nlr = 'fast'\n"), "a.toml:2; got 'fast'"));
  CHECK(contains(refusal("lr = [1]\n"), "a.toml:1; got [ 1 ]"));
  CHECK(contains(refusal("epochs = 1.5\n"), "expected a whole number for epochs at "));
  CHECK(contains(refusal("threads = true\n"), "a whole number or a text for threads at "));
  CHECK(contains(refusal("threads = 'many'\n"), "expected what --threads takes for threads at "));
  CHECK(contains(refusal("keep = -1\n"), "expected what --keep takes for keep at "));
  CHECK(contains(refusal("checkpoint_every = 'often'\n"), "often"));
  CHECK(contains(refusal("lr = ]"), "expected TOML at "));
  CHECK(contains(refusal("lr = 1\nlr = 2\n"), "a.toml:2"));
  CHECK(contains(refusal("optimizer = 'sdg'\n"), "got 'sdg'"));
  std::string dots = "a";  // tables in tables, more than a stack holds
  for (int i = 0; i < 100000; ++i) dots += ".a";
  CHECK(contains(refusal("seed = 1\n" + dots + " = 1\n"), "at most 16 dots in a key or text"));
  CHECK(contains(refusal("a.b.c.d.e.f.g.h.i.j = 1\n"), "at most 8 tables deep; a.b.c.d.e.f.g.h.i. at "));
  CHECK(contains(refusal(std::string((1u << 18) + 1, '\n'), "", 3), "of at most 262144 bytes"));
  CHECK(contains(refusal("", "HEFT_TRAIN_LAMDA=5 "), "perhaps HEFT_TRAIN_LAMBDA; got HEFT_TRAIN_LAMDA"));
  CHECK(contains(refusal("", "HEFT_TRAIN_LR=fast "), "expected a number for lr at HEFT_TRAIN_LR; got 'fast'"));
  CHECK(contains(refusal("", "HEFT_TRAIN_EPOCHS= "), "a whole number for epochs at HEFT_TRAIN_EPOCHS; got ''"));
  CHECK(contains(refusal("", "HEFT_TRAIN_THREADS=many "), "threads at HEFT_TRAIN_THREADS"));
  const Result none = heft_command(data.folder, "train --config '" + data.folder.file("none.toml") + "'");
  CHECK(none.exit_code == 3);
  CHECK(contains(none.err, "there is no " + data.folder.file("none.toml")));
  CHECK(contains(data.train("epochs = 1\n", "--resume x").err, "expected --config or --resume"));
}

TEST_CASE("heft train: a run that goes on has its own settings, whatever the environment says", "[cli][settings]") {
  const Blobs data;
  REQUIRE(data.train(data.fields()).exit_code == 0);
  const Result on =
      heft_command(data.folder, "train --resume '" + data.folder.file("run") + "' --epochs 2", "HEFT_TRAIN_LR=0.7 ");
  INFO(on.err);
  CHECK(on.exit_code == 0);
  CHECK(json::parse(data.file("run/config.json"))["lr"] == 0.05);
}

#endif
