#include "train/recorder.h"

#include <algorithm>
#include <filesystem>

#include "core/check.h"
#include "core/ops.h"
#include "optim/batch_sums.h"
#include "optim/exponential_weights.h"
#include "train/atomic_file.h"
#include "train/record_json.h"

namespace heft::train {
namespace {

using record::Json;
using record::short_number;
using record::short_numbers;

constexpr const char* kOp = "recorder";
constexpr const char *kSteps = "steps.jsonl", *kSnapshots = "snapshots.jsonl", *kSamples = "samples.json",
                     *kEvents = "tensorboard";
constexpr std::int64_t kMostLines = 2000;

std::string path_in(const std::string& folder, const char* name) { return (std::filesystem::path(folder) / name).string(); }

RecorderOptions checked(const RecorderOptions& options) {
  check(options.first_epoch >= 1, kOp, "expected first_epoch >= 1; got {}", options.first_epoch);
  check(options.every >= 1, kOp, "expected every >= 1; got {}", options.every);
  check(options.accumulate >= 1, kOp, "expected accumulate >= 1; got {}", options.accumulate);
  check(options.samples >= 1, kOp, "expected samples >= 1; got {}", options.samples);
  return options;
}

// What is read of a batch.
enum Number { kLosses, kReduced, kPrior, kProbabilities, kLabels, kIndices, kCleanLabels, kState, kWeights, kNumbers };

constexpr std::size_t kBehind = 2;  // batches whose numbers are on their way while more are computed

void append(std::vector<double>& to, const Tensor& from) {
  const std::vector<double> values = from.to_vector<double>();
  to.insert(to.end(), values.begin(), values.end());
}

// What a row of probabilities says of the sample.
void describe(HardSample& sample, const float* p, std::size_t classes) {
  sample.predicted = std::max_element(p, p + classes) - p;
  sample.confidence = p[sample.predicted];
  sample.label_probability = p[sample.label];
  double other = 0;
  for (std::size_t c = 0; c < classes; ++c)
    if (static_cast<std::int64_t>(c) != sample.label) other = std::max(other, static_cast<double>(p[c]));
  sample.margin = sample.label_probability - other;
}

Scalars tagged(const std::string& prefix, Scalars scalars) {
  for (auto& [name, value] : scalars) name.insert(0, prefix);
  return scalars;
}

Scalars epoch_scalars(const EpochReport& report, double weighted_loss) {
  Scalars scalars = {{"train_loss", report.train_loss},
                     {"weighted_loss", weighted_loss},
                     {"train_accuracy", report.train_accuracy},
                     {"effective_share", report.effective_share}};
  const auto add = [&scalars](const std::string& on, const std::optional<Evaluation>& e) {
    if (e)
      for (const auto& scalar : tagged(on, {{"loss", e->mean_loss},
                                            {"accuracy", e->accuracy},
                                            {"balanced_accuracy", e->balanced_accuracy},
                                            {"worst_class_accuracy", e->worst_class_accuracy}}))
        scalars.push_back(scalar);
  };
  add("test_", report.test);
  add("validation_", report.validation);
  return scalars;
}

// Steps of the run that its files know of: where there is no state, those before the first epoch.
std::int64_t steps_before(const data::Loader& batches, const RecorderOptions& options) {
  if (!options.state.empty()) return static_cast<std::int64_t>(optim::take_number(options.state, "step", kOp));
  return (batches.size() + options.accumulate - 1) / options.accumulate * (options.first_epoch - 1);
}

std::int64_t lines_in(const std::map<std::string, Tensor>& state, const char* file) {
  return static_cast<std::int64_t>(optim::take_number(state, std::string(file) + ".lines", kOp));
}

// Lines of a file that the run has had: where there is no state, those before the first epoch.
std::int64_t lines_before(const std::string& folder, const char* file, const RecorderOptions& options) {
  return options.state.empty() ? record::lines_before(path_in(folder, file), options.first_epoch)
                               : lines_in(options.state, file);
}

}  // namespace

std::int64_t default_every(std::int64_t steps_per_epoch, int epochs) {
  return std::max<std::int64_t>(1, (steps_per_epoch * epochs + kMostLines - 1) / kMostLines);
}

void remove_records(const std::string& folder) {
  std::error_code none;
  for (const char* name : {kSteps, kSnapshots, kSamples}) std::filesystem::remove(path_in(folder, name), none);
  remove_event_files(path_in(folder, kEvents));
}

void check_records(const std::string& folder, const std::map<std::string, Tensor>& state) {
  for (const char* file : {kSteps, kSnapshots}) try {
      first_lines(path_in(folder, file), lines_in(state, file));
    } catch (const DataError& error) {
      fail<DataError>(kOp, "expected the records of this run; {} (--no-record goes on without)", error.what());
    }
}

Recorder::Recorder(std::string folder, const data::Loader& batches, const RecorderOptions& options)
    : folder_(std::move(folder)),
      options_(checked(options)),
      classes_(batches.dataset()->class_names()),
      class_counts_(data::class_counts(batches.dataset())),
      step_(steps_before(batches, options_)),
      steps_(path_in(folder_, kSteps), lines_before(folder_, kSteps, options_)),
      snapshots_(path_in(folder_, kSnapshots), lines_before(folder_, kSnapshots, options_)),
      // Readers forget the step that they are told and later ones.
      events_(path_in(folder_, kEvents), step_ > 0 ? step_ + 1 : 0),
      hard_(options.samples, batches.dataset()->source_size(), batches.options().normalize),
      epoch_(no_sums()) {
  if (!options_.state.empty()) load_state(options_.state);
  options_.state = {};
}

Recorder::Sums Recorder::no_sums() const {
  return {.weight_by_class = std::vector<double>(class_counts_.size()),
          .count_by_class = std::vector<std::int64_t>(class_counts_.size())};
}

Recorder::~Recorder() {
  try {
    take_in_all_but(0);
  } catch (...) {  // what failed
  }
}

Recorder::Read Recorder::read(const BatchReport& report) const {
  const optim::Reduction& reduction = report.optimizer.reduction();
  const bool classified = report.logits.rank() == 2 && report.logits.size(1) == static_cast<std::int64_t>(class_counts_.size());
  Read batch{.epoch = report.epoch,
             .stepped = report.stepped,
             .lr = report.optimizer.lr(),
             .images = report.batch.images,
             .reduction = nullptr,
             .numbers = {}};
  // Of a step in one part that stays on a device.
  if (report.losses.device().is_cuda() && report.stepped && open_.losses.empty()) batch.reduction = reduction.copy();
  std::vector<Tensor> numbers(kNumbers);
  numbers[kLosses] = report.losses, numbers[kReduced] = report.reduced, numbers[kPrior] = report.prior;
  if (classified) {
    numbers[kProbabilities] = softmax(report.logits, 1);
    numbers[kLabels] = report.batch.labels, numbers[kIndices] = report.batch.indices;
    numbers[kCleanLabels] = report.batch.clean_labels;
  }
  if (batch.reduction) numbers[kState] = reduction.device_state(), numbers[kWeights] = reduction.device_batch().weights;
  batch.numbers = Download(numbers);
  return batch;
}

void Recorder::add(const BatchReport& report) {
  Read batch = read(report);
  if (batch.reduction) {
    waiting_.push_back(std::move(batch));
    return take_in_all_but(kBehind);
  }
  take_in_all_but(0);
  take_in(batch, report.optimizer.reduction());
}

void Recorder::take_in_all_but(std::size_t waiting) {
  while (waiting_.size() > waiting) {
    const Read batch = std::move(waiting_.front());
    waiting_.pop_front();
    try {
      take_in(batch, *batch.reduction);
    } catch (...) {  // those after it are of no use either
      open_ = {};
      waiting_.clear();
      throw;
    }
  }
}

void Recorder::take_in(const Read& batch, const optim::Reduction& reduction) {
  const std::vector<Tensor> numbers = batch.numbers.values();
  if (batch.reduction) batch.reduction->arrived(numbers[kState], {numbers[kReduced], numbers[kWeights], numbers[kPrior]});
  image_shape_ = batch.images.shape().without(0);
  open_.images.push_back(batch.images);
  append(open_.losses, numbers[kLosses]);
  append(open_.reduced, numbers[kReduced]);
  if (numbers[kPrior].defined()) append(open_.priors, numbers[kPrior]);
  if (numbers[kProbabilities].defined()) add_samples(numbers);
  if (batch.stepped) finish_step(batch, reduction);
}

void Recorder::add_samples(const std::vector<Tensor>& numbers) {
  const auto integers = [&](Number which) { return numbers[which].to_vector<std::int64_t>(); };
  const std::vector<float> p = numbers[kProbabilities].to_vector<float>();
  const std::vector<std::int64_t> labels = integers(kLabels), indices = integers(kIndices);
  const std::vector<std::int64_t> clean =
      numbers[kCleanLabels].defined() ? integers(kCleanLabels) : std::vector<std::int64_t>(labels.size(), -1);
  const std::size_t classes = class_counts_.size();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    HardSample sample{.index = indices[i], .label = labels[i], .clean_label = clean[i]};
    describe(sample, p.data() + i * classes, classes);
    open_.samples.push_back(std::move(sample));
  }
}

void Recorder::finish_step(const Read& batch, const optim::Reduction& reduction) {
  const auto* exponential = dynamic_cast<const optim::ExponentialWeights*>(&reduction);
  open_.weights = reduction.weights();
  open_.reduction = reduction.name();
  open_.lambda = exponential ? exponential->lambda() : optim::ExponentialWeights::kInfinity;
  const double n = static_cast<double>(open_.weights.size());
  const double mean_loss = optim::batch_mean(open_.losses);
  const double weighted_loss = optim::batch_mean(open_.weights, open_.reduced);
  epoch_.images += n;
  epoch_.loss += n * mean_loss;
  epoch_.weighted_loss += n * weighted_loss;
  weigh_samples();
  if (++step_ % options_.every == 0) write_step(batch, reduction, mean_loss, weighted_loss);
  if (open_.weights.size() >= shown_.weights.size()) shown_ = std::move(open_);
  open_ = {};
}

void Recorder::weigh_samples() {
  std::size_t at = 0;
  for (const Tensor& part : open_.images)
    for (std::int64_t i = 0; i < part.size(0) && at < open_.samples.size(); ++i, ++at) {
      HardSample& sample = open_.samples[at];
      sample.loss = open_.losses[at];
      sample.weight = open_.weights[at];
      epoch_.weight_by_class[static_cast<std::size_t>(sample.label)] += sample.weight;
      ++epoch_.count_by_class[static_cast<std::size_t>(sample.label)];
      hard_.add(sample, part, i);
    }
  open_.images.clear();
}

void Recorder::write_step(const Read& batch, const optim::Reduction& reduction, double mean_loss, double weighted_loss) {
  // The reduction's own mean loss is of what it got, class weights in the exponent and all.
  Scalars scalars = {{"mean_loss", mean_loss}, {"weighted_loss", weighted_loss}, {"lr", batch.lr}};
  for (const auto& [name, value] : reduction.diagnostics())
    if (name != "mean_loss") scalars.emplace_back(name, value);
  Json line = {{"epoch", batch.epoch}, {"step", step_}, {"samples", open_.weights.size()}};
  for (const auto& [name, value] : scalars) line[name] = value;
  steps_.add(record::text(line));
  events_.add(step_, tagged("step/", std::move(scalars)));
}

void Recorder::end_epoch(const EpochReport& report) {
  take_in_all_but(0);
  snapshots_.add(snapshot_line(report));
  write_samples(report.epoch);
  events_.add(step_, tagged("epoch/", epoch_scalars(report, epoch_.weighted_loss / epoch_.images)));
  events_.flush();
  hard_.begin_epoch();
  shown_ = {};
  epoch_ = no_sums();
}

std::string Recorder::snapshot_line(const EpochReport& report) const {
  Json labels = Json::array(), predictions = Json::array(), flipped = Json::array();
  bool clean_known = false;
  for (const HardSample& sample : shown_.samples) {
    labels.push_back(sample.label);
    predictions.push_back(sample.predicted);
    flipped.push_back(sample.clean_label >= 0 && sample.clean_label != sample.label);
    clean_known |= sample.clean_label >= 0;
  }
  const bool classified = !shown_.samples.empty();
  const auto where = [](bool known, Json values) { return known ? std::move(values) : Json(nullptr); };
  Json line = {{"epoch", report.epoch},
               {"step", step_},
               {"mean_loss", short_number(epoch_.loss / epoch_.images)},
               {"weighted_loss", short_number(epoch_.weighted_loss / epoch_.images)},
               {"weight_by_class", short_numbers(epoch_.weight_by_class)},
               {"count_by_class", epoch_.count_by_class}};
  if (report.test) line["confusion"] = record::to_json(report.test->confusion);
  line["batch"] = {{"reduction", shown_.reduction},
                   {"lambda", short_number(shown_.lambda)},
                   {"losses", short_numbers(shown_.reduced)},
                   {"weights", short_numbers(shown_.weights)},
                   {"labels", where(classified, labels)},
                   {"predictions", where(classified, predictions)},
                   {"priors", where(!shown_.priors.empty(), short_numbers(shown_.priors))},
                   {"flipped", where(clean_known, flipped)}};
  return record::text(line);
}

void Recorder::write_samples(int epoch) const {
  Json json = {{"epoch", epoch}, {"classes", classes_}, {"class_counts", class_counts_}};
  json["image"] = std::vector<std::int64_t>(image_shape_.begin(), image_shape_.end());
  const auto list = [](const std::vector<HardSample>& samples) {
    Json array = Json::array();
    for (const HardSample& sample : samples) array.push_back(record::to_json(sample));
    return array;
  };
  json["hardest"] = list(hard_.hardest());
  json["suspects"] = list(hard_.suspects());
  write_atomically(path_in(folder_, kSamples), record::text(json) + '\n');
}

}  // namespace heft::train
