#include "train/recorder.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "autograd/elementwise.h"
#include "autograd/reduce.h"
#include "core/random.h"
#include "cuda/cuda.h"
#include "layers/losses.h"
#include "layers/models.h"
#include "optim/absgd.h"
#include "optim/cvar.h"
#include "optim/exponential_weights.h"
#include "tests/catch_compat.h"
#include "tests/train/blobs.h"
#include "tests/train/files.h"

using namespace heft;
using heft::test::blobs;
using heft::test::contains;
using heft::test::message_of;
using heft::test::read_text;
using heft::test::TemporaryDirectory;
using heft::train::BatchReport;
using heft::train::EpochReport;
using heft::train::FitOptions;
using heft::train::Recorder;
using nlohmann::json;

namespace {

ModulePtr small_net() {
  manual_seed(3);
  return models::mlp({.inputs = test::kBlobSide * test::kBlobSide, .hidden = {16}, .classes = 4});
}

data::Loader small_loader(const data::DatasetPtr& dataset, Device device = Device::cpu()) {
  return data::Loader(dataset, {.batch_size = 32, .shuffle = true, .seed = 5, .device = device});
}

std::vector<json> lines_of(const std::string& path) {
  std::vector<json> lines;
  std::istringstream text(read_text(path));
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  return lines;
}

// What fit() reported, gathered without the recorder.
struct Seen {
  std::vector<double> losses, weights, priors;
  std::vector<std::int64_t> labels;
};

std::vector<Seen> record(const std::string& folder, optim::Optimizer& opt, const ModulePtr& net,
                         const data::DatasetPtr& dataset, FitOptions options, const train::RecorderOptions& recording = {}) {
  data::Loader batches = small_loader(dataset, net->parameters().front().device());
  Recorder recorder(folder, batches, recording);
  std::vector<Seen> steps;
  Seen open;
  const auto append = [](auto& to, const Tensor& from) {
    const auto values = from.to_vector<typename std::decay_t<decltype(to)>::value_type>();
    to.insert(to.end(), values.begin(), values.end());
  };
  options.on_batch = [&](const BatchReport& report) {
    recorder.add(report);
    append(open.losses, report.losses);
    append(open.labels, report.batch.labels);
    if (report.prior.defined()) append(open.priors, report.prior);
    if (!report.stepped) return;
    open.weights = report.optimizer.reduction().weights();
    steps.push_back(std::move(open));
    open = {};
  };
  options.on_epoch = [&](const EpochReport& report) { recorder.end_epoch(report); };
  train::fit(*net, opt, batches, options);
  return steps;
}

double mean_of(const std::vector<double>& x, const std::vector<double>* w = nullptr) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * (w ? (*w)[i] : 1);
  return sum / static_cast<double>(x.size());
}

// 100 samples in batches of 32, so many to a step.
void check_steps(Device device, int accumulate, const std::vector<std::size_t>& sizes) {
  const TemporaryDirectory folder;
  const ModulePtr net = small_net();
  net->to(device);
  optim::ABSGD opt(net->parameters(), {.lr = 0.1, .lambda = 0.5});
  const Tensor weights = Tensor::from(std::vector<double>{0.5, 1, 1.5, 3});
  const std::vector<Seen> run =
      record(folder.path(), opt, net, blobs({40, 30, 20, 10}),
             {.epochs = 2, .class_weights = weights, .accumulate = accumulate, .test = blobs({5, 4, 3, 2}, 2)},
             {.accumulate = accumulate});
  const std::vector<json> lines = lines_of(folder.file("steps.jsonl"));
  REQUIRE(lines.size() == 2 * sizes.size());
  REQUIRE(run.size() == lines.size());
  for (std::size_t k = 0; k < lines.size(); ++k) {
    const Seen& step = run[k];
    const json& line = lines[k];
    INFO(line.dump());
    CHECK(line["epoch"] == 1 + k / sizes.size());
    CHECK(line["step"] == k + 1);
    REQUIRE(line["samples"] == sizes[k % sizes.size()]);
    REQUIRE(step.losses.size() == sizes[k % sizes.size()]);
    CHECK(line["mean_loss"].get<double>() == Approx(mean_of(step.losses)));
    CHECK(line["weighted_loss"].get<double>() == Approx(mean_of(step.losses, &step.weights)));
    const double sum = mean_of(step.weights), squares = mean_of(step.weights, &step.weights);
    CHECK(line["effective_sample_size"].get<double>() ==
          Approx(sum * sum / squares * static_cast<double>(step.weights.size())));
    double kl = 0, mean_exp = 0;
    for (std::size_t i = 0; i < step.weights.size(); ++i) {
      kl += step.weights[i] / sum * std::log(step.weights[i] / sum) / static_cast<double>(step.weights.size());
      mean_exp += step.priors[i] * std::exp(step.losses[i] / 0.5) / static_cast<double>(step.weights.size());
    }
    CHECK(line["kl_from_uniform"].get<double>() == Approx(kl).margin(1e-9));
    CHECK(line["batch_log_mean_exp"].get<double>() == Approx(std::log(mean_exp)));
    if (k == 0) CHECK(line["log_u"].get<double>() == Approx(std::log(mean_exp)));
    CHECK(line["lambda"] == 0.5);
    CHECK(line["lr"] == 0.1);
  }
}

}  // namespace

TEST_CASE("Recorder: a step's numbers are those of its losses and weights", "[train][record]") {
  check_steps(Device::cpu(), 1, {32, 32, 32, 4});
  check_steps(Device::cpu(), 2, {64, 36});
}

TEST_CASE("Recorder: on a GPU, too, where they are read steps later", "[train][record][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("a recorder on a GPU: " + cuda::why_unavailable());
  check_steps(Device::cuda(), 1, {32, 32, 32, 4});
  check_steps(Device::cuda(), 2, {64, 36});
  check_steps(Device::cuda(), 3, {96, 4});
}

TEST_CASE("Recorder: a run that diverges has written the steps before", "[train][record][cuda]") {
  std::vector<Device> devices{Device::cpu()};
  if (cuda::is_available()) devices.push_back(Device::cuda());
  for (const Device device : devices) {
    INFO(device.str());
    const TemporaryDirectory folder;
    const ModulePtr net = small_net();
    net->to(device);
    optim::ABSGD opt(net->parameters(), {.lr = 0.1, .lambda = 2});
    int calls = 0;
    const auto loss = [&calls](const Variable& logits, const Tensor& labels) {
      return cross_entropy(logits, labels) * (++calls == 3 ? std::nan("") : 1.0);
    };
    const std::string message = message_of<NumericError>([&] {
      record(folder.path(), opt, net, blobs({40, 30, 20, 10}), {.epochs = 1, .loss = loss, .record_steps = false});
    });
    CHECK(contains(message, "[absgd] expected finite losses"));
    CHECK(lines_of(folder.file("steps.jsonl")).size() == 2);
  }
}

TEST_CASE("Recorder: snapshots hold the last full step and the epoch's sums by class", "[train][record]") {
  const TemporaryDirectory folder;
  const ModulePtr net = small_net();
  optim::ABSGD opt(net->parameters(), {.lr = 0.1, .lambda = 2});
  const data::DatasetPtr test = blobs({5, 4, 3, 2}, 2);
  const std::vector<Seen> run = record(folder.path(), opt, net, blobs({40, 30, 20, 10}), {.epochs = 2, .test = test});
  const std::vector<json> lines = lines_of(folder.file("snapshots.jsonl"));
  REQUIRE(lines.size() == 2);
  REQUIRE(run.size() == 8);  // 32, 32, 32, 4 an epoch
  for (std::size_t epoch = 0; epoch < 2; ++epoch) {
    const json& line = lines[epoch];
    CHECK(line["epoch"] == epoch + 1);
    CHECK(line["step"] == 4 * (epoch + 1));
    std::vector<double> weight(4);
    std::vector<int> count(4);
    double mean = 0, weighted = 0;
    for (std::size_t k = 4 * epoch; k < 4 * epoch + 4; ++k)
      for (std::size_t i = 0; i < run[k].losses.size(); ++i) {
        const Seen& step = run[k];
        weight[static_cast<std::size_t>(step.labels[i])] += step.weights[i];
        ++count[static_cast<std::size_t>(step.labels[i])];
        mean += step.losses[i] / 100;
        weighted += step.losses[i] * step.weights[i] / 100;
      }
    CHECK(line["count_by_class"] == json(count));
    for (std::size_t c = 0; c < 4; ++c) CHECK(line["weight_by_class"][c].get<double>() == Approx(weight[c]).epsilon(1e-5));
    CHECK(line["mean_loss"].get<double>() == Approx(mean).epsilon(1e-5));
    CHECK(line["weighted_loss"].get<double>() == Approx(weighted).epsilon(1e-5));
    const Seen& shown = run[4 * epoch + 2];
    const json& batch = line["batch"];
    REQUIRE(batch["losses"].size() == 32);
    for (std::size_t i = 0; i < 32; ++i) {
      CHECK(batch["losses"][i].get<double>() == Approx(shown.losses[i]).epsilon(1e-5));
      CHECK(batch["weights"][i].get<double>() == Approx(shown.weights[i]).epsilon(1e-5));
      CHECK(batch["labels"][i] == shown.labels[i]);
    }
    CHECK(batch["reduction"] == "absgd");
    CHECK(batch["lambda"] == 2);
    CHECK(batch["predictions"].size() == 32);
    CHECK(batch["priors"].is_null());
    CHECK(batch["flipped"].is_null());
    int total = 0;
    for (std::size_t c = 0; c < 4; ++c) {
      int row = 0;
      for (const json& entry : line["confusion"][c]) row += entry.get<int>();
      CHECK(row == 5 - static_cast<int>(c));
      total += row;
    }
    CHECK(total == 14);
  }
}

TEST_CASE("Recorder: flipped labels are among the suspects, with their images", "[train][record]") {
  const TemporaryDirectory folder;
  const test::BlobBytes bytes = test::blob_bytes({30, 30, 30, 30}, 1);
  std::vector<std::int64_t> clean(bytes.labels.begin(), bytes.labels.end()), labels = clean;
  const std::vector<std::size_t> wrong = {3, 40, 100};
  for (const std::size_t i : wrong) labels[i] = (labels[i] + 1) % 4;
  const data::DatasetPtr dataset =
      data::memory_dataset(Tensor::from(bytes.images, {120, 1, test::kBlobSide, test::kBlobSide}), Tensor::from(labels),
                           {.classes = 4, .class_names = {"a", "<b>", "\xff", "d"}, .clean_labels = Tensor::from(clean)});
  const ModulePtr net = small_net();
  optim::ABSGD opt(net->parameters(), {.lr = 0.1, .lambda = -1});
  record(folder.path(), opt, net, dataset, {.epochs = 6}, {.samples = 3});

  const json samples = json::parse(read_text(folder.file("samples.json")));
  CHECK(samples["epoch"] == 6);
  CHECK(samples["classes"] == json({"a", "<b>", "\xef\xbf\xbd", "d"}));  // what is not UTF-8 does not stop a run
  CHECK(samples["class_counts"].size() == 4);
  CHECK(samples["image"] == json({1, test::kBlobSide, test::kBlobSide}));
  CHECK(samples["hardest"].size() == 3);
  REQUIRE(samples["suspects"].size() == 3);
  std::vector<std::size_t> found;
  for (const json& suspect : samples["suspects"]) {
    const auto i = suspect["index"].get<std::size_t>();
    found.push_back(i);
    CHECK(suspect["label"] == labels[i]);
    CHECK(suspect["clean_label"] == clean[i]);
    CHECK(suspect["predicted"] == clean[i]);
    CHECK(suspect["margin"] < 0);
    const std::string pixels = suspect["pixels"];
    REQUIRE(pixels.size() == 2 * test::kBlobSide * test::kBlobSide);
    for (std::size_t k = 0; k < pixels.size() / 2; ++k)
      CHECK(std::stoi(pixels.substr(2 * k, 2), nullptr, 16) == bytes.images[i * pixels.size() / 2 + k]);
  }
  std::sort(found.begin(), found.end());
  CHECK(found == wrong);
  CHECK(lines_of(folder.file("snapshots.jsonl"))[0]["batch"]["flipped"].size() == 32);
}

TEST_CASE("Recorder: a recorded run has the bits of one that is not", "[train][record]") {
  const TemporaryDirectory folder;
  const data::DatasetPtr dataset = blobs({40, 30, 20, 10});
  const ModulePtr recorded = small_net(), plain = small_net();
  optim::ABSGD opt(recorded->parameters(), {.lr = 0.1, .lambda = 1}), same(plain->parameters(), {.lr = 0.1, .lambda = 1});
  record(folder.path(), opt, recorded, dataset, {.epochs = 2});
  data::Loader batches = small_loader(dataset);
  train::fit(*plain, same, batches, {.epochs = 2});
  for (const auto& [name, tensor] : recorded->state())
    CHECK(tensor.to_vector<float>() == plain->state().at(name).to_vector<float>());
}

TEST_CASE("Recorder: other reductions, and networks that do not classify", "[train][record]") {
  const TemporaryDirectory folder;
  const ModulePtr net = models::mlp({.inputs = test::kBlobSide * test::kBlobSide, .hidden = {}, .classes = 2});
  optim::SGD opt(net->parameters(), {.lr = 0.01}, std::make_shared<optim::CVaR>(optim::CVaROptions{.alpha = 0.5}));
  record(folder.path(), opt, net, blobs({20, 20, 20, 20}),
         {.epochs = 1, .loss = [](const Variable& outputs, const Tensor&) { return sum(outputs * outputs, {1}); }});
  const json line = lines_of(folder.file("steps.jsonl")).back();
  CHECK(line.contains("effective_sample_size"));
  CHECK_FALSE(line.contains("log_u"));
  const json snapshot = lines_of(folder.file("snapshots.jsonl")).back();
  CHECK(snapshot["batch"]["reduction"] == "cvar");
  CHECK(snapshot["batch"]["lambda"].is_null());
  CHECK(snapshot["batch"]["labels"].is_null());
  CHECK(json::parse(read_text(folder.file("samples.json")))["hardest"].empty());
}

TEST_CASE("Recorder: every so many steps, and on from where a run was interrupted", "[train][record]") {
  const TemporaryDirectory folder;
  const data::DatasetPtr dataset = blobs({40, 30, 20, 10});
  const ModulePtr net = small_net();
  optim::ABSGD opt(net->parameters(), {.lr = 0.1});
  record(folder.path(), opt, net, dataset, {.epochs = 3}, {.every = 3});  // of 12 steps
  std::vector<json> lines = lines_of(folder.file("steps.jsonl"));
  REQUIRE(lines.size() == 4);
  CHECK(lines[1]["step"] == 6);

  // An interrupted run may have left half a line of the epoch that it did not finish.
  folder.write("steps.jsonl", read_text(folder.file("steps.jsonl")) + "{\"epoch\": 3, \"st");
  record(folder.path(), opt, net, dataset, {.epochs = 3, .first_epoch = 2}, {.first_epoch = 2, .every = 1});
  lines = lines_of(folder.file("steps.jsonl"));
  REQUIRE(lines.size() == 1 + 8);  // step 3, then all of 5 to 12
  for (std::size_t k = 1; k < lines.size(); ++k) CHECK(lines[k]["step"] == 4 + k);
  CHECK(lines_of(folder.file("snapshots.jsonl")).size() == 3);

  record(folder.path(), opt, net, dataset, {.epochs = 1});
  CHECK(lines_of(folder.file("steps.jsonl")).size() == 4);
  train::remove_records(folder.path());
  CHECK(test::files_in(folder) == 0);

  CHECK(train::default_every(469, 2) == 1);
  CHECK(train::default_every(469, 10) == 3);
  CHECK(train::default_every(391, 200) == 40);
}

TEST_CASE("Recorder: options and files that cannot be", "[train][record]") {
  const TemporaryDirectory folder;
  data::Loader batches = small_loader(blobs({4, 4, 4, 4}));
  const auto message = [&](const train::RecorderOptions& options) {
    return message_of<ValueError>([&] { Recorder(folder.path(), batches, options); });
  };
  CHECK(contains(message({.first_epoch = 0}), "first_epoch"));
  CHECK(contains(message({.every = 0}), "every"));
  CHECK(contains(message({.accumulate = 0}), "accumulate"));
  CHECK(contains(message({.samples = 0}), "samples"));
  CHECK_THROWS_AS(Recorder(folder.file("none"), batches), DataError);
}
