#include "train/fit.h"

#include <cmath>

#include "autograd/elementwise.h"
#include "core/check.h"
#include "core/ops.h"
#include "layers/losses.h"
#include "optim/exponential_weights.h"
#include "train/epoch_meter.h"
#include "train/meta.h"
#include "train/recorded_step.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "fit";

optim::ExponentialWeights* exponential_weights(const optim::Optimizer& opt) {
  return dynamic_cast<optim::ExponentialWeights*>(&opt.reduction());
}

// Of the first epoch.
std::int64_t batches_before(const FitOptions& options) { return options.part ? options.part->batches : 0; }

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
  const std::int64_t before = batches_before(options);
  check(before >= 0 && before <= batches.size() && (before % options.accumulate == 0 || before == batches.size()), kOp,
        "expected to go on after a whole step of at most {} batches, {} a step; got {} batches", batches.size(),
        options.accumulate, before);
  check(batches.size() >= 1, kOp, "expected training data with at least one batch; the loader has none");
  check(!options.lambda || exponential_weights(opt) != nullptr, kOp,
        "expected an optimizer with exponential weights (ABSGD, ABAdam) where lambda has a schedule; got the reduction '{}'",
        opt.reduction().name());
  const Shape expected{batches.dataset()->classes()};
  check<ShapeError>(!options.class_weights.defined() || options.class_weights.shape() == expected, kOp,
                    "expected class_weights of shape {}, one per class; got {}", expected,
                    options.class_weights.defined() ? options.class_weights.shape() : Shape{});
}

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
  const Evaluation result = evaluate(net, dataset,
                                     {.normalize = batches.options().normalize,
                                      .loss = options.evaluation_loss ? options.evaluation_loss : options.loss,
                                      .logit_scale = options.logit_scale});
  check<NumericError>(std::isfinite(result.mean_loss), kOp,
                      "expected a finite loss after epoch {}; got {}: the run has diverged (a lower learning rate may help)",
                      epoch, result.mean_loss);
  return result;
}

// What a step or a part of one reads and leaves, in the order in which RecordedStep passes it on.
enum In { kImages, kLabels, kWeights, kGroups, kInputs };
enum Out { kLogits, kLosses, kReduced, kOutputs };

// Forward, losses, backward, and the update where `steps`. `weights` are those of the samples' classes, or undefined.
std::vector<Tensor> compute(Module& net, optim::Optimizer& opt, const FitOptions& options, const std::vector<Tensor>& in,
                            const data::Batch* batch, bool begins, bool steps) {
  const Variable logits = net(in[kImages]);
  Variable losses = options.batch_loss && batch ? options.batch_loss(logits, *batch)  // (N)
                    : options.loss              ? options.loss(logits, in[kLabels])
                                                : cross_entropy(logits, in[kLabels]);
  const Tensor unweighted = losses.value();
  optim::SampleInfo about{.groups = in[kGroups]};
  if (in[kWeights].defined()) {
    if (options.class_weights_in == ClassWeightsIn::prior) about.prior = in[kWeights];
    else losses = losses * in[kWeights].astype(losses.dtype());
  }
  if (begins) opt.zero_grad();
  backward(opt.reduce(losses, about));
  if (steps) opt.step();
  return {logits.value(), unweighted, losses.value()};
}

// A batch of the loader: a step, or a part of one. Returns whether the step is done.
bool train_on(const data::Batch& batch, Module& net, optim::Optimizer& opt, const FitOptions& options, EpochMeter& meter,
              std::int64_t batches, RecordedStep& recorded) {
  const EpochReport& report = meter.report();
  std::vector<Tensor> in(kInputs);
  in[kImages] = batch.images, in[kLabels] = batch.labels;
  in[kGroups] = options.classes_are_groups ? batch.labels : batch.groups;
  if (report.class_weighted) in[kWeights] = index_select(options.class_weights.to(batch.labels.device()), 0, batch.labels);
  const std::int64_t seen = meter.batches_seen() + 1;
  const bool begins = (seen - 1) % options.accumulate == 0, stepped = seen % options.accumulate == 0 || seen == batches;
  const std::vector<Tensor> out =
      begins && stepped && !options.batch_loss
          ? recorded(in,
                     [&](const std::vector<Tensor>& inputs) { return compute(net, opt, options, inputs, nullptr, true, true); })
          : compute(net, opt, options, in, &batch, begins, stepped);
  meter.add(out[kLogits], batch, out[kLosses]);
  if (stepped) meter.add_step(opt);
  if (options.on_batch)
    options.on_batch({report.epoch, stepped, batch, out[kLogits], out[kLosses], out[kReduced],
                      options.class_weights_in == ClassWeightsIn::prior ? in[kWeights] : Tensor{}, opt});
  return stepped;
}

// The same with meta batches, which is a step always.
void train_on(const data::Batch& batch, Module& net, optim::Optimizer& opt, const FitOptions& options, EpochMeter& meter,
              MetaReweighter& reweighter) {
  const MetaStep step =
      reweighter.step(net, opt, batch, options.meta->next(), {.loss = options.loss, .meta_loss = options.evaluation_loss});
  meter.add(step.outputs, batch, step.losses);
  meter.add_step(opt);
  if (options.on_batch) options.on_batch({meter.report().epoch, true, batch, step.outputs, step.losses, step.losses, {}, opt});
}

}  // namespace

FitResult fit(Module& net, optim::Optimizer& opt, data::Loader& batches, const FitOptions& options) {
  check_options(opt, batches, options);
  MetaReweighter* meta = dynamic_cast<MetaReweighter*>(&opt.reduction());
  // A resumed run sees the meta batches that it would have seen.
  if (meta)
    options.meta->seek(static_cast<std::uint64_t>(options.first_epoch - 1) * static_cast<std::uint64_t>(batches.size()) +
                       static_cast<std::uint64_t>(batches_before(options)));
  FitResult result;
  RecordedStep recorded(net, opt, options.record_steps);
  for (int epoch = options.first_epoch; epoch <= options.epochs; ++epoch) {
    const std::int64_t before = epoch == options.first_epoch ? batches_before(options) : 0;
    if (before == 0 && options.before_epoch) options.before_epoch(epoch);
    const std::int64_t classes = batches.dataset()->classes();
    EpochMeter meter = before == 0 ? EpochMeter(begin_epoch(opt, options, epoch), batches.size(), classes)
                                   : EpochMeter(epoch, *options.part, batches.size(), classes);
    EpochReport& report = meter.report();
    net.train();
    recorded.reset();  // whether classes are weighted, which layers are frozen
    meter.begin(opt);
    batches.set_epoch(static_cast<std::uint64_t>(epoch - 1), before);
    for (const data::Batch& batch : batches) {
      bool stepped = true;
      if (meta) train_on(batch, net, opt, options, meter, *meta);
      else stepped = train_on(batch, net, opt, options, meter, batches.size(), recorded);
      const StepReport step{epoch, meter.batches_seen(), batches.size(), report.train_loss};
      if (options.on_step) options.on_step(step);
      if (!stepped) continue;
      const bool is_due = options.checkpoint_due && options.checkpoint_due(step);
      result.stopped = options.stop && options.stop();
      if (is_due || result.stopped) meter.flush(opt);
      if (options.on_checkpoint && (is_due || result.stopped)) options.on_checkpoint(epoch, meter.part());
      if (result.stopped) return result;
    }
    meter.flush(opt);
    if (options.test) report.test = checked_evaluation(net, options.test, batches, options, epoch);
    if (options.validation) report.validation = checked_evaluation(net, options.validation, batches, options, epoch);
    for (const auto* evaluation : {&report.test, &report.validation})
      if (*evaluation && !report.collapsed_to && !meter.learns()) report.collapsed_to = collapsed_to((*evaluation)->confusion);
    result.epochs.push_back(report);
    if (options.on_epoch) options.on_epoch(report);
    if (options.enough && options.enough(report)) break;
  }
  return result;
}

}  // namespace heft::train
