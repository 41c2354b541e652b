#include "train/evaluate.h"

#include <cmath>
#include <utility>

#include "core/check.h"
#include "core/ops.h"
#include "data/calibration.h"
#include "layers/losses.h"

namespace heft::train {
EvaluationMode::EvaluationMode(Module& net) {
  for (const auto& [name, module] : net.named_modules()) before_.emplace_back(module, module->training());
  net.eval();
}
EvaluationMode::~EvaluationMode() {
  for (auto& [module, training] : before_) module->train(training);
}

Device network_device(const Module& net) {
  const std::vector<Variable> parameters = net.parameters();
  return parameters.empty() ? Device::cpu() : parameters.front().device();
}

Evaluation evaluate(Module& net, const data::DatasetPtr& dataset, const EvaluateOptions& options) {
  check<ValueError>(dataset != nullptr, "evaluate", "expected a data set; got a null pointer");
  const NoGrad no_grad;
  const EvaluationMode mode(net);
  data::Loader batches(dataset,
                       {.batch_size = options.batch_size, .device = network_device(net), .normalize = options.normalize});
  Evaluation result{.confusion = data::ConfusionMatrix(dataset->classes())};
  data::CalibrationError calibration;
  double loss_sum = 0;
  for (const data::Batch& batch : batches) {
    const Variable logits = net(batch.images);
    const Variable losses = options.loss ? options.loss(logits, batch.labels) : cross_entropy(logits, batch.labels);
    loss_sum += sum(losses.value().astype(DType::f64)).item();
    // A network that has diverged has no confidence; its loss says so.
    if (std::isfinite(loss_sum)) calibration.add(softmax(logits.value() * options.logit_scale, 1), batch.labels);
    result.confusion.add(argmax(logits.value()).to(Device::cpu()), batch.labels.to(Device::cpu()));
  }
  result.samples = result.confusion.total();
  result.mean_loss = result.samples > 0 ? loss_sum / static_cast<double>(result.samples) : 0;
  result.calibration_error = calibration.value();
  result.accuracy = result.confusion.accuracy();
  result.balanced_accuracy = result.confusion.balanced_accuracy();
  result.worst_class_accuracy = result.confusion.worst_class_accuracy();
  result.per_class_accuracy = result.confusion.per_class_accuracy();
  return result;
}

}  // namespace heft::train
