#include "train/fit.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "autograd/elementwise.h"
#include "core/check.h"
#include "core/ops.h"
#include "layers/losses.h"
#include "optim/exponential_weights.h"
#include "train/meta.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "fit";

using Clock = std::chrono::steady_clock;

optim::ExponentialWeights* exponential_weights(const optim::Optimizer& opt) {
  return dynamic_cast<optim::ExponentialWeights*>(&opt.reduction());
}

void check_options(const optim::Optimizer& opt, const data::Loader& batches, const FitOptions& options) {
  check(options.epochs >= 1, kOp, "expected epochs >= 1; got {}", options.epochs);
  check((options.meta != nullptr) == (dynamic_cast<MetaReweighter*>(&opt.reduction()) != nullptr), kOp,
        "expected meta batches with an optimizer that learns its weights from them, and with no other; got the reduction '{}' "
        "{} meta "
        "batches",
        opt.reduction().name(), options.meta ? "with" : "without");
  check(options.meta == nullptr || options.batch_loss == nullptr, kOp,
        "expected no batch_loss with meta batches, whose samples it does not know");
  check(options.accumulate >= 1, kOp, "expected accumulate >= 1; got {}", options.accumulate);
  check(options.first_epoch >= 1, kOp, "expected first_epoch >= 1; got {}", options.first_epoch);
  check(batches.size() >= 1, kOp, "expected training data with at least one batch; the loader has none");
  check(!options.lambda || exponential_weights(opt) != nullptr, kOp,
        "expected an optimizer with exponential weights (ABSGD, ABAdam) where lambda has a schedule; got the reduction '{}'",
        opt.reduction().name());
  const Shape expected{batches.dataset()->classes()};
  check<ShapeError>(!options.class_weights.defined() || options.class_weights.shape() == expected, kOp,
                    "expected class_weights of shape {}, one per class; got {}", expected,
                    options.class_weights.defined() ? options.class_weights.shape() : Shape{});
}

// Shares of the predictions and of the labels that one class has, beyond which every prediction is called the same.
constexpr double kAllOneClass = 0.999, kMixedLabels = 0.9;

// The class that has nearly all of `predicted` where none has nearly all of `labels`.
std::optional<std::int64_t> only_class(const std::vector<std::int64_t>& predicted, const std::vector<std::int64_t>& labels) {
  const auto top = std::max_element(predicted.begin(), predicted.end());
  const double all = static_cast<double>(std::accumulate(predicted.begin(), predicted.end(), std::int64_t{0}));
  const double largest = static_cast<double>(*std::max_element(labels.begin(), labels.end()));
  if (all == 0 || static_cast<double>(*top) < kAllOneClass * all || largest > kMixedLabels * all) return {};
  return top - predicted.begin();
}

std::optional<std::int64_t> only_class(const std::optional<Evaluation>& evaluation) {
  if (!evaluation) return {};
  const data::ConfusionMatrix& confusion = evaluation->confusion;
  std::vector<std::int64_t> predicted(static_cast<std::size_t>(confusion.classes())), labels;
  for (std::int64_t c = 0; c < confusion.classes(); ++c) {
    labels.push_back(confusion.support(c));
    for (std::int64_t p = 0; p < confusion.classes(); ++p) predicted[static_cast<std::size_t>(p)] += confusion.count(c, p);
  }
  return only_class(predicted, labels);
}

// What an epoch's report is made of.
class EpochMeter {
 public:
  EpochMeter(EpochReport& report, std::int64_t batches, std::int64_t classes)
      : report_(report), batches_(batches), predicted_(static_cast<std::size_t>(classes)), labels_(predicted_) {}

  void add(const Tensor& logits, const data::Batch& batch, const Tensor& losses) {
    loss_sum_ += sum(losses.astype(DType::f64)).item();
    ++seen_;
    report_.images += losses.numel();
    report_.train_loss = loss_sum_ / static_cast<double>(report_.images);
    report_.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    report_.images_per_second = static_cast<double>(report_.images) / report_.seconds;
    if (logits.rank() == 2 && logits.size(1) == static_cast<std::int64_t>(predicted_.size())) add_predictions(logits, batch);
  }
  void add_step(const optim::Reduction& reduction) {
    effective_ += reduction.effective_sample_size() / static_cast<double>(reduction.weights().size());
    report_.effective_share = effective_ / static_cast<double>(++steps_);
    const auto* exponential = dynamic_cast<const optim::ExponentialWeights*>(&reduction);
    if (exponential == nullptr || !exponential->solves_lambda()) return;
    report_.lambda = exponential->lambda();
    clamped_ += !std::isinf(exponential->lambda()) && exponential->lambda_clamped();
    report_.lambda_clamped = static_cast<double>(clamped_) / static_cast<double>(steps_);
  }
  std::int64_t batches_seen() const { return seen_; }

 private:
  void add_predictions(const Tensor& logits, const data::Batch& batch) {
    const std::vector<std::int64_t> predicted = argmax(logits).to(Device::cpu()).to_vector<std::int64_t>();
    const std::vector<std::int64_t> label = batch.labels.to(Device::cpu()).to_vector<std::int64_t>();
    std::vector<std::int64_t> clean;
    if (batch.clean_labels.defined()) clean = batch.clean_labels.to(Device::cpu()).to_vector<std::int64_t>();
    for (std::size_t i = 0; i < predicted.size(); ++i) {
      correct_ += predicted[i] == label[i];
      if (!clean.empty() && clean[i] >= 0 && clean[i] != label[i]) {
        ++flipped_;
        memorised_ += predicted[i] == label[i];
      }
      if (2 * seen_ <= batches_) continue;
      ++predicted_[static_cast<std::size_t>(predicted[i])];
      ++labels_[static_cast<std::size_t>(label[i])];
    }
    report_.train_accuracy = static_cast<double>(correct_) / static_cast<double>(report_.images);
    if (flipped_ > 0) report_.memorised = static_cast<double>(memorised_) / static_cast<double>(flipped_);
    if (seen_ == batches_) report_.collapsed_to = only_class(predicted_, labels_);
  }

  EpochReport& report_;
  std::int64_t batches_;
  std::vector<std::int64_t> predicted_, labels_;  // of the second half of the epoch, by class
  Clock::time_point start_ = Clock::now();
  double loss_sum_ = 0, effective_ = 0;
  std::int64_t seen_ = 0, steps_ = 0, correct_ = 0, clamped_ = 0, flipped_ = 0, memorised_ = 0;
};

EpochReport begin_epoch(optim::Optimizer& opt, const FitOptions& options, int epoch) {
  const double finished = epoch - 1;
  optim::ExponentialWeights* weights = exponential_weights(opt);
  if (options.lr_factor) opt.set_lr_factor(options.lr_factor(finished));
  if (weights != nullptr) weights->adapt();
  if (options.lambda) {
    // A lambda that is solved for keeps its value; the schedule says when, and which sign.
    const double lambda = options.lambda(finished);
    if (!weights->solves_lambda() || std::isinf(lambda) || std::isinf(weights->lambda())) weights->set_lambda(lambda);
  }
  EpochReport report{.epoch = epoch, .lr = opt.lr()};
  if (weights != nullptr) report.lambda = weights->lambda();
  report.class_weighted = options.class_weights.defined() && epoch >= options.class_weights_from;
  return report;
}

Evaluation checked_evaluation(Module& net, const data::DatasetPtr& dataset, const data::Loader& batches,
                              const FitOptions& options, int epoch) {
  const Evaluation result = evaluate(
      net, dataset,
      {.normalize = batches.options().normalize, .loss = options.evaluation_loss ? options.evaluation_loss : options.loss});
  check<NumericError>(std::isfinite(result.mean_loss), kOp,
                      "expected a finite loss after epoch {}; got {}: the run has diverged (a lower learning rate may help)",
                      epoch, result.mean_loss);
  return result;
}

// A batch of the loader: a step, or a part of one.
void train_on(const data::Batch& batch, Module& net, optim::Optimizer& opt, const FitOptions& options,
              const EpochReport& report, EpochMeter& meter, std::int64_t batches) {
  const Variable logits = net(batch.images);
  Variable losses = options.batch_loss ? options.batch_loss(logits, batch)  // (N)
                    : options.loss     ? options.loss(logits, batch.labels)
                                       : cross_entropy(logits, batch.labels);
  const Tensor unweighted = losses.value();
  meter.add(logits.value(), batch, unweighted);
  optim::SampleInfo about{.groups = options.classes_are_groups ? batch.labels : batch.groups};
  if (report.class_weighted) {
    const Tensor weights = index_select(options.class_weights.to(losses.device()), 0, batch.labels);
    if (options.class_weights_in == ClassWeightsIn::prior) about.prior = weights;
    else losses = losses * weights.astype(losses.dtype());
  }
  const std::int64_t seen = meter.batches_seen();
  if ((seen - 1) % options.accumulate == 0) opt.zero_grad();
  backward(opt.reduce(losses, about));
  const bool stepped = seen % options.accumulate == 0 || seen == batches;
  if (stepped) {
    opt.step();
    meter.add_step(opt.reduction());
  }
  if (options.on_batch)
    options.on_batch({report.epoch, stepped, batch, logits.value(), unweighted, losses.value(), about.prior, opt});
}

}  // namespace

FitResult fit(Module& net, optim::Optimizer& opt, data::Loader& batches, const FitOptions& options) {
  check_options(opt, batches, options);
  MetaReweighter* meta = dynamic_cast<MetaReweighter*>(&opt.reduction());
  // A resumed run sees the meta batches that it would have seen.
  if (meta)
    options.meta->seek(static_cast<std::uint64_t>(options.first_epoch - 1) * static_cast<std::uint64_t>(batches.size()));
  FitResult result;
  for (int epoch = options.first_epoch; epoch <= options.epochs; ++epoch) {
    if (options.before_epoch) options.before_epoch(epoch);
    EpochReport report = begin_epoch(opt, options, epoch);
    EpochMeter meter(report, batches.size(), batches.dataset()->classes());
    net.train();
    batches.set_epoch(static_cast<std::uint64_t>(epoch - 1));
    for (const data::Batch& batch : batches) {
      if (meta) {
        const MetaStep step =
            meta->step(net, opt, batch, options.meta->next(), {.loss = options.loss, .meta_loss = options.evaluation_loss});
        meter.add(step.outputs, batch, step.losses);
        meter.add_step(*meta);
        if (options.on_batch) options.on_batch({epoch, true, batch, step.outputs, step.losses, step.losses, {}, opt});
      } else {
        train_on(batch, net, opt, options, report, meter, batches.size());
      }
      const std::int64_t seen = meter.batches_seen();
      if (options.on_step) options.on_step({epoch, seen, batches.size(), report.train_loss});
      if (options.stop && options.stop()) {
        result.stopped = true;
        return result;
      }
    }
    if (options.test) report.test = checked_evaluation(net, options.test, batches, options, epoch);
    if (options.validation) report.validation = checked_evaluation(net, options.validation, batches, options, epoch);
    for (const auto* evaluation : {&report.test, &report.validation})
      if (!report.collapsed_to) report.collapsed_to = only_class(*evaluation);
    result.epochs.push_back(report);
    if (options.on_epoch) options.on_epoch(report);
  }
  return result;
}

}  // namespace heft::train
