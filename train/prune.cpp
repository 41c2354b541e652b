#include "train/prune.h"

namespace heft::train {

void prune(TruncatedGce& gce, Module& net, const data::DatasetPtr& dataset, const EvaluateOptions& options) {
  const NoGrad no_grad;
  const EvaluationMode mode(net);
  data::Loader batches(dataset,
                       {.batch_size = options.batch_size, .device = network_device(net), .normalize = options.normalize});
  for (const data::Batch& batch : batches) gce.update(net(batch.images), batch.labels, batch.indices);
}

}  // namespace heft::train
