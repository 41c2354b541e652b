#include "train/load_weights.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "core/random.h"
#include "data/npy.h"
#include "layers/models.h"
#include "optim/sgd.h"
#include "tests/catch_compat.h"
#include "tests/train/blobs.h"
#include "tests/train/files.h"
#include "tests/train/python.h"
#include "train/recipe.h"
#include "train/run_state.h"
#include "train/safetensors.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;
using heft::test::TemporaryDirectory;

namespace {

using State = std::map<std::string, Tensor>;

constexpr models::MakeOptions kSmall{.classes = 4, .channels = 1, .image_size = 12};

std::string write(const TemporaryDirectory& folder, const State& state) {
  const std::string path = folder.file("weights.safetensors");
  train::write_safetensors(path, {.tensors = state, .metadata = {}});
  return path;
}

// That `net` has these values, under these names.
void check_state(const Module& net, const State& expected) {
  for (const auto& [name, tensor] : net.state()) {
    INFO(name);
    CHECK(tensor.to_vector<double>() == expected.at(name).to_vector<double>());
  }
}

State renamed(const State& state, const std::string& prefix) {
  State result;
  for (const auto& [name, tensor] : state) result[prefix + name] = tensor;
  return result;
}

}  // namespace

TEST_CASE("load weights: a number that is none is named", "[train][weights]") {
  const TemporaryDirectory folder;
  const ModulePtr net = models::make("mlp", kSmall);
  State state = net->state();
  state.begin()->second = Tensor::full(state.begin()->second.shape(), std::nan(""));
  CHECK(contains(message_of<DataError>([&] { train::load_weights(write(folder, state), *net); }),
                 "expected finite numbers as " + state.begin()->first));
}

TEST_CASE("load weights: PyTorch's names, wrapped or not, and heft's own states", "[train][weights]") {
  const TemporaryDirectory folder;
  const State state = models::make("resnet20", kSmall)->state();
  for (const std::string prefix : {"", "module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."}) {
    INFO(prefix);
    const ModulePtr net = models::make("resnet20", kSmall);
    CHECK(train::load_weights(write(folder, renamed(state, prefix)), *net).kept.empty());
    check_state(*net, state);
  }
  // A network that calls its own part so.
  class Wrapper : public Module {
   public:
    Wrapper() { inner_ = register_module("module", models::make("resnet20", kSmall)); }
    Variable forward(const Variable& x) override { return (*inner_)(x); }
    ModulePtr inner_;
  } wrapper;
  train::load_weights(write(folder, renamed(state, "module.")), wrapper);
  check_state(*wrapper.inner_, state);
  CHECK(contains(message_of<DataError>([&] { train::load_weights(write(folder, state), wrapper); }), "module.conv1.weight"));

  const ModulePtr trained = models::make("resnet20", kSmall), net = models::make("resnet20", kSmall);
  const optim::SGD opt(trained->parameters(), {.lr = 0.1});
  train::save_run(folder.file("state.safetensors"), *trained, opt, {.epochs = 3});
  train::load_weights(folder.file("state.safetensors"), *net);
  check_state(*net, trained->state());
}

TEST_CASE("load weights: counters of batch norms may be missing", "[train][weights]") {
  const TemporaryDirectory folder;
  State state = models::make("vgg_small", kSmall)->state();
  std::erase_if(state, [](const auto& entry) { return entry.first.ends_with("num_batches_tracked"); });
  const ModulePtr net = models::make("vgg_small", kSmall);
  const train::LoadedWeights loaded = train::load_weights(write(folder, state), *net);
  CHECK(loaded.kept.size() == 6);
  CHECK(loaded.kept.front() == "features.1.num_batches_tracked");
}

TEST_CASE("load weights: a table says what is missing, left over and of another shape", "[train][weights]") {
  const TemporaryDirectory folder;
  const ModulePtr net = models::make("lenet5", kSmall);
  const State before = net->state();
  State state = models::make("lenet5", {.classes = 7, .channels = 1, .image_size = 12})->state();
  state.erase("conv2.bias");
  state["head\x1b[31m"] = Tensor::ones({2, 2});
  const std::string path = write(folder, state);
  const std::string message = message_of<DataError>([&] { train::load_weights(path, *net); });
  INFO(message);
  CHECK(contains(message, path));
  CHECK(contains(message, "\n  tensor      network  file"));
  CHECK(contains(message, "\n  conv2.bias  (16,)    missing"));
  CHECK(contains(message, "\n  fc3.bias    (4,)     (7,)"));
  CHECK(contains(message, "\n  head?[31m   none     (2, 2)"));
  check_state(*net, before);

  State many = net->state();
  for (int i = 0; i < 50; ++i) many[std::to_string(i) + "x"] = Tensor::ones({1});
  CHECK(contains(message_of<DataError>([&] { train::load_weights(write(folder, many), *net); }), "and 10 more"));
  CHECK_THROWS_AS(train::load_weights(folder.file("none"), *net), DataError);
}

TEST_CASE("load weights: with a new head the file's is left aside, whatever it is", "[train][weights]") {
  const TemporaryDirectory folder;
  const std::map<std::string, std::string> heads{
      {"mlp", "fc3"}, {"lenet5", "fc3"}, {"vgg_small", "classifier"}, {"resnet20", "linear"}, {"resnet18", "fc"}};
  for (const auto& [name, head] : heads) {
    INFO(name);
    const State state = models::make(name, {.classes = 7, .channels = 1, .image_size = 12})->state();
    const ModulePtr net = models::make(name, kSmall);
    const State before = net->state();
    const train::LoadedWeights loaded = train::load_weights(write(folder, state), *net, {.new_head = true});
    CHECK(loaded.kept == std::vector<std::string>{head + ".weight", head + ".bias"});
    State expected = state;
    expected[head + ".weight"] = before.at(head + ".weight");
    expected[head + ".bias"] = before.at(head + ".bias");
    check_state(*net, expected);
  }
  // One with a bias for one without, and a file without any.
  const ModulePtr normed = models::make("lenet5", {.classes = 4, .image_size = 12, .normed_classifier = true});
  State state = models::make("lenet5", kSmall)->state();
  CHECK(train::load_weights(write(folder, state), *normed, {.new_head = true}).kept == std::vector<std::string>{"fc3.weight"});
  state.erase("fc3.weight");
  state.erase("fc3.bias");
  CHECK(train::load_weights(write(folder, state), *models::make("lenet5", kSmall), {.new_head = true}).kept.size() == 2);
}

TEST_CASE("freeze: modules keep their weights and running statistics while others train", "[train][weights]") {
  const ModulePtr net = models::make("resnet20", kSmall);
  train::freeze_modules(*net, "conv1,bn1,layer1");
  net->train();
  CHECK(net->training());
  CHECK_FALSE(net->module("bn1").training());
  CHECK_FALSE(net->module("layer1.2.bn2").training());
  CHECK(net->module("layer2.0.bn1").training());
  CHECK_FALSE(net->module("layer1.0.conv1").parameters()[0].requires_grad());
  CHECK(net->module("layer2.0.conv1").parameters()[0].requires_grad());
  net->module("layer1").freeze(false);
  CHECK(net->module("layer1.2.bn2").training());
  CHECK(net->module("layer1.0.conv1").parameters()[0].requires_grad());

  CHECK(contains(message_of<ValueError>([&] { train::freeze_modules(*net, "layer9"); }), "'layer9'"));
  CHECK(contains(message_of<ValueError>([&] { train::freeze_modules(*net, "conv1,,bn1"); }), "conv1,,bn1"));
  CHECK(contains(
      message_of<ValueError>([&] { train::freeze_modules(*models::make("lenet5", kSmall), "conv1,conv2,fc1,fc2,fc3"); }),
      "all of the network"));
}

TEST_CASE("recipe: fine-tuning from a file, with a new head and frozen layers", "[train][weights][recipe]") {
  const TemporaryDirectory folder;
  manual_seed(8);
  const ModulePtr source = models::make("resnet20", {.classes = 9, .channels = 1, .image_size = test::kBlobSide});
  const train::Recipe recipe{.model = "resnet20",
                             .init = write(folder, source->state()),
                             .init_head = "new",
                             .freeze = "conv1,bn1,layer1,layer2",
                             .epochs = 2,
                             .batch_size = 16};
  const auto sets = [] {
    return train::DataSets{.train = test::blobs({16, 16, 16, 16}),
                           .validation = nullptr,
                           .meta = nullptr,
                           .test = test::blobs({4, 4, 4, 4}, 2),
                           .normalize = {.mean = {0.3}, .std = {0.3}},
                           .class_counts = {16, 16, 16, 16}};
  };
  train::Setup setup = train::prepare(recipe, sets());
  train::fit(*setup.net, *setup.optimizer, *setup.loader, setup.fit);
  const State before = source->state(), after = setup.net->state();
  const auto same = [&](const std::string& name) {
    return before.at(name).to_vector<double>() == after.at(name).to_vector<double>();
  };
  for (const char* kept :
       {"conv1.weight", "bn1.weight", "bn1.running_mean", "bn1.num_batches_tracked", "layer2.2.bn2.running_var"})
    CHECK(same(kept));
  for (const char* trained : {"layer3.0.conv1.weight", "layer3.0.bn1.running_mean", "layer3.0.bn1.num_batches_tracked"})
    CHECK_FALSE(same(trained));
  CHECK(after.at("linear.weight").shape() == Shape{4, 64});

  train::Recipe strict = recipe;
  strict.init_head = "file";
  CHECK(contains(message_of<DataError>([&] { train::prepare(strict, sets()); }), "linear.bias"));
  CHECK(contains(message_of<ValueError>([] { train::resolved({.init_head = "new"}); }), "a file for init"));
  CHECK(contains(message_of<ValueError>([] { train::resolved({.init = "x", .init_head = "old"}); }), "init-head"));
}

TEST_CASE("load weights: PyTorch's networks give the same logits, and ours do there", "[train][weights][python][slow]") {
  if (!test::python_has("torch")) HEFT_SKIP("no python3-torch");
  const TemporaryDirectory folder;
  const std::string weights = folder.file("w.safetensors"), images = folder.file("x.npy"), logits = folder.file("y.npy");
  const std::string files = " '" + weights + "' '" + images + "' '" + logits + "'";
  manual_seed(5);
  for (const std::string name : {"mlp", "lenet5", "vgg_small", "resnet20", "resnet32", "resnet18"}) {
    INFO(name);
    // ResNet-18 as torchvision has it, with the large stem.
    const std::int64_t side = name == "resnet18" ? 96 : 32;
    const models::MakeOptions options{.classes = 10, .channels = 3, .image_size = side};
    const Tensor x = random_normal({3, 3, side, side}, 0, 1);
    data::write_npy(images, x);
    const auto check_close = [&](Module& net) {
      const NoGrad no_grad;
      net.eval();
      const std::vector<double> ours = net(x).value().to_vector<double>(), theirs = data::read_npy(logits).to_vector<double>();
      REQUIRE(ours.size() == theirs.size());
      double largest = 1, difference = 0;
      for (std::size_t i = 0; i < ours.size(); ++i) {
        largest = std::max(largest, std::abs(theirs[i]));
        difference = std::max(difference, std::abs(ours[i] - theirs[i]));
      }
      CHECK(difference <= 1e-5 * largest);
    };
    REQUIRE(test::python_failure(folder, "torch_models.py", "make " + name + files) == "");
    const ModulePtr theirs = models::make(name, options);
    CHECK(train::load_weights(weights, *theirs).kept.empty());
    check_close(*theirs);

    // Back: another network, whose running statistics have seen a batch.
    const ModulePtr ours = models::make(name, options);
    {
      const NoGrad no_grad;
      (*ours)(x);
    }
    train::save_model(weights, *ours);
    REQUIRE(test::python_failure(folder, "torch_models.py", "use " + name + files) == "");
    check_close(*ours);
  }
}
