#include "train/fit.h"

#include <chrono>
#include <cmath>

#include "autograd/elementwise.h"
#include "core/check.h"
#include "core/ops.h"
#include "layers/losses.h"
#include "optim/exponential_weights.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "fit";

using Clock = std::chrono::steady_clock;

optim::ExponentialWeights* exponential_weights(const optim::Optimizer& opt) {
  return dynamic_cast<optim::ExponentialWeights*>(&opt.reduction());
}

void check_options(const optim::Optimizer& opt, const data::Loader& batches, const FitOptions& options) {
  check(options.epochs >= 1, kOp, "expected epochs >= 1; got {}", options.epochs);
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

// What an epoch's report is made of.
class EpochMeter {
 public:
  explicit EpochMeter(EpochReport& report) : report_(report) {}
  void add(const Tensor& losses, const optim::Reduction& reduction) {
    loss_sum_ += sum(losses.astype(DType::f64)).item();
    effective_ += reduction.effective_sample_size() / static_cast<double>(losses.numel());
    ++steps_;
    report_.images += losses.numel();
    report_.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    report_.train_loss = loss_sum_ / static_cast<double>(report_.images);
    report_.effective_share = effective_ / static_cast<double>(steps_);
    report_.images_per_second = static_cast<double>(report_.images) / report_.seconds;
  }
  std::int64_t steps() const { return steps_; }

 private:
  EpochReport& report_;
  Clock::time_point start_ = Clock::now();
  double loss_sum_ = 0;
  double effective_ = 0;
  std::int64_t steps_ = 0;
};

EpochReport begin_epoch(optim::Optimizer& opt, const FitOptions& options, int epoch) {
  const double finished = epoch - 1;
  optim::ExponentialWeights* weights = exponential_weights(opt);
  if (options.lr_factor) opt.set_lr_factor(options.lr_factor(finished));
  if (options.lambda) weights->set_lambda(options.lambda(finished));
  EpochReport report{.epoch = epoch, .lr = opt.lr()};
  if (weights != nullptr) report.lambda = weights->lambda();
  report.class_weighted = options.class_weights.defined() && epoch >= options.class_weights_from;
  return report;
}

Evaluation checked_evaluation(Module& net, const data::DatasetPtr& dataset, const data::Loader& batches,
                              const FitOptions& options, int epoch) {
  const Evaluation result = evaluate(net, dataset, {.normalize = batches.options().normalize, .loss = options.loss});
  check<NumericError>(std::isfinite(result.mean_loss), kOp,
                      "expected a finite loss after epoch {}; got {}: the run has diverged (a lower learning rate may help)",
                      epoch, result.mean_loss);
  return result;
}

}  // namespace

FitResult fit(Module& net, optim::Optimizer& opt, data::Loader& batches, const FitOptions& options) {
  check_options(opt, batches, options);
  FitResult result;
  for (int epoch = options.first_epoch; epoch <= options.epochs; ++epoch) {
    EpochReport report = begin_epoch(opt, options, epoch);
    EpochMeter meter(report);
    net.train();
    batches.set_epoch(static_cast<std::uint64_t>(epoch - 1));
    for (const data::Batch& batch : batches) {
      const Variable logits = net(batch.images);
      const Variable losses = options.loss ? options.loss(logits, batch.labels) : cross_entropy(logits, batch.labels);  // (N)
      opt.zero_grad();
      if (report.class_weighted) {
        const Tensor weights = options.class_weights.to(losses.device()).astype(losses.dtype());
        backward(opt.reduce(losses * index_select(weights, 0, batch.labels)));
      } else {
        backward(opt.reduce(losses));
      }
      opt.step();
      meter.add(losses.value(), opt.reduction());
      if (options.on_step) options.on_step({epoch, meter.steps(), batches.size(), report.train_loss});
      if (options.stop && options.stop()) {
        result.stopped = true;
        return result;
      }
    }
    if (options.test) report.test = checked_evaluation(net, options.test, batches, options, epoch);
    if (options.validation) report.validation = checked_evaluation(net, options.validation, batches, options, epoch);
    result.epochs.push_back(report);
    if (options.on_epoch) options.on_epoch(report);
  }
  return result;
}

}  // namespace heft::train
