#include "train/epoch_meter.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "core/ops.h"
#include "optim/exponential_weights.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "fit";

// Shares of the predictions and of the labels that one class has, beyond which every prediction is called the same.
constexpr double kAllOneClass = 0.999, kMixedLabels = 0.9;

std::optional<std::int64_t> only_class(const std::vector<std::int64_t>& predicted, const std::vector<std::int64_t>& labels) {
  const auto top = std::max_element(predicted.begin(), predicted.end());
  const double all = static_cast<double>(std::accumulate(predicted.begin(), predicted.end(), std::int64_t{0}));
  const double largest = static_cast<double>(*std::max_element(labels.begin(), labels.end()));
  if (all == 0 || static_cast<double>(*top) < kAllOneClass * all || largest > kMixedLabels * all) return {};
  return top - predicted.begin();
}

using Sums = std::map<std::string, Tensor>;

// Counts are whole and far below 2^53.
std::int64_t take_count(const Sums& sums, const std::string& name) {
  const double count = optim::take_number(sums, name, kOp);
  check(count >= 0 && count < 0x1p53 && count == std::floor(count), kOp, "expected a count as '{}' of an epoch's sums; got {}",
        name, count);
  return static_cast<std::int64_t>(count);
}

std::vector<std::int64_t> take_counts(const Sums& sums, const std::string& name, std::size_t classes) {
  const auto found = sums.find(name);
  check(found != sums.end() && found->second.dtype() == DType::i64 &&
            found->second.shape() == Shape{static_cast<std::int64_t>(classes)},
        kOp, "expected {} counts as '{}' of an epoch's sums; there are none such", classes, name);
  return found->second.to_vector<std::int64_t>();
}

}  // namespace

std::optional<std::int64_t> collapsed_to(const data::ConfusionMatrix& confusion) {
  std::vector<std::int64_t> predicted(static_cast<std::size_t>(confusion.classes())), labels;
  for (std::int64_t c = 0; c < confusion.classes(); ++c) {
    labels.push_back(confusion.support(c));
    for (std::int64_t p = 0; p < confusion.classes(); ++p) predicted[static_cast<std::size_t>(p)] += confusion.count(c, p);
  }
  return only_class(predicted, labels);
}

EpochMeter::EpochMeter(const EpochReport& report, std::int64_t batches, std::int64_t classes)
    : report_(report), batches_(batches), predicted_(static_cast<std::size_t>(classes)), labels_(predicted_) {}

EpochMeter::EpochMeter(int epoch, const EpochPart& part, std::int64_t batches, std::int64_t classes)
    : EpochMeter(EpochReport{.epoch = epoch}, batches, classes) {
  const Sums& sums = part.sums;
  seen_ = part.batches;
  report_.lambda = optim::take_number(sums, "lambda", kOp);
  report_.lr = optim::take_number(sums, "lr", kOp);
  report_.class_weighted = take_count(sums, "class_weighted") != 0;
  report_.images = take_count(sums, "images");
  seconds_before_ = optim::take_number(sums, "seconds", kOp);
  loss_sum_ = optim::take_number(sums, "loss", kOp);
  effective_ = optim::take_number(sums, "effective", kOp);
  images_looked_at_ = report_.images;
  steps_ = take_count(sums, "steps");
  correct_ = take_count(sums, "correct");
  clamped_ = take_count(sums, "clamped");
  flipped_ = take_count(sums, "flipped");
  memorised_ = take_count(sums, "memorised");
  predicted_ = take_counts(sums, "predicted", predicted_.size());
  labels_ = take_counts(sums, "labels", labels_.size());
  check(report_.images > 0 && steps_ > 0, kOp, "expected images and steps in an epoch that goes on; got {} and {}",
        report_.images, steps_);
  report_.effective_share = effective_ / static_cast<double>(steps_);
  report_.lambda_clamped = static_cast<double>(clamped_) / static_cast<double>(steps_);
  describe();
}

EpochPart EpochMeter::part() const {
  const auto count = [](std::int64_t n) { return optim::number(static_cast<double>(n)); };
  return {.batches = seen_,
          .sums = {{"lambda", optim::number(report_.lambda)},
                   {"lr", optim::number(report_.lr)},
                   {"class_weighted", count(report_.class_weighted)},
                   {"images", count(report_.images)},
                   {"seconds", optim::number(report_.seconds)},
                   {"loss", optim::number(loss_sum_)},
                   {"effective", optim::number(effective_)},
                   {"steps", count(steps_)},
                   {"correct", count(correct_)},
                   {"clamped", count(clamped_)},
                   {"flipped", count(flipped_)},
                   {"memorised", count(memorised_)},
                   {"predicted", Tensor::from(predicted_)},
                   {"labels", Tensor::from(labels_)}}};
}

void EpochMeter::begin(const optim::Optimizer& opt) {
  if (opt.reduction().stays_on_device()) tally_ = opt.reduction().tally();
}

void EpochMeter::add(const Tensor& logits, const data::Batch& batch, const Tensor& losses) {
  report_.images += losses.numel();
  const bool classified = logits.rank() == 2 && logits.size(1) == static_cast<std::int64_t>(predicted_.size());
  Seen seen{.number = ++seen_,
            .values = Download(classified ? std::vector{losses, argmax(logits), batch.labels, batch.clean_labels}
                                          : std::vector{losses, Tensor{}, Tensor{}, Tensor{}})};
  if (losses.device().is_cpu()) count(seen);
  else waiting_.push_back(std::move(seen));
  describe();
}

void EpochMeter::add_step(const optim::Optimizer& opt) {
  const bool on_device = !waiting_.empty() && opt.reduction().stays_on_device();
  if (!on_device) count_steps(opt.reduction());
  if (waiting_.size() >= kTogether || (!waiting_.empty() && steps_ == 0)) flush(opt);
}

void EpochMeter::flush(const optim::Optimizer& opt) {
  if (waiting_.empty()) return;
  opt.verify();
  for (const Seen& seen : waiting_) count(seen);
  waiting_.clear();
  if (opt.reduction().stays_on_device()) count_steps(opt.reduction());
  describe();
}

void EpochMeter::count_steps(const optim::Reduction& reduction) {
  const auto* exponential = dynamic_cast<const optim::ExponentialWeights*>(&reduction);
  const bool solves = exponential != nullptr && exponential->solves_lambda();
  const tilt::State& now = reduction.tally();
  if (reduction.stays_on_device() && now.steps > tally_.steps) {
    steps_ += now.steps - tally_.steps;
    effective_ += static_cast<double>(now.effective_share - tally_.effective_share) / tilt::kShareUnits;
    clamped_ += solves ? now.clamped_steps - tally_.clamped_steps : 0;
    tally_ = now;
  } else {
    ++steps_;
    effective_ += reduction.effective_sample_size() / static_cast<double>(reduction.weights().size());
    clamped_ += solves && !std::isinf(exponential->lambda()) && exponential->lambda_clamped();
  }
  report_.effective_share = effective_ / static_cast<double>(steps_);
  if (!solves) return;
  report_.lambda = exponential->lambda();
  report_.lambda_clamped = static_cast<double>(clamped_) / static_cast<double>(steps_);
}

void EpochMeter::count(const Seen& seen) {
  const std::vector<Tensor> values = seen.values.values();
  loss_sum_ += sum(values[0].astype(DType::f64)).item();
  images_looked_at_ += values[0].numel();
  if (!values[1].defined()) return;
  const auto predicted = values[1].to_vector<std::int64_t>(), label = values[2].to_vector<std::int64_t>();
  const auto clean = values[3].defined() ? values[3].to_vector<std::int64_t>() : std::vector<std::int64_t>{};
  for (std::size_t i = 0; i < predicted.size(); ++i) {
    correct_ += predicted[i] == label[i];
    if (!clean.empty() && clean[i] >= 0 && clean[i] != label[i]) {
      ++flipped_;
      memorised_ += predicted[i] == label[i];
    }
    if (2 * seen.number <= batches_) continue;
    ++predicted_[static_cast<std::size_t>(predicted[i])];
    ++labels_[static_cast<std::size_t>(label[i])];
  }
}

bool EpochMeter::learns() const {
  const auto all = static_cast<double>(std::accumulate(labels_.begin(), labels_.end(), std::int64_t{0}));
  if (all == 0) return false;
  const double largest = static_cast<double>(*std::max_element(labels_.begin(), labels_.end())) / all;
  return report_.train_accuracy > largest + (1 - largest) / 4;
}

// The report, from the sums.
void EpochMeter::describe() {
  const auto images = static_cast<double>(report_.images);
  const auto looked_at = static_cast<double>(std::max<std::int64_t>(images_looked_at_, 1));
  report_.train_loss = loss_sum_ / looked_at;
  report_.train_accuracy = static_cast<double>(correct_) / looked_at;
  if (flipped_ > 0) report_.memorised = static_cast<double>(memorised_) / static_cast<double>(flipped_);
  report_.seconds = seconds_before_ + std::chrono::duration<double>(Clock::now() - start_).count();
  report_.images_per_second = images / report_.seconds;
  if (seen_ == batches_ && waiting_.empty()) report_.collapsed_to = only_class(predicted_, labels_);
}

}  // namespace heft::train
