// A training step that is recorded once and replayed: on a GPU the CPU then asks for one thing, not for hundreds, and a small
// network's step is not bound by how fast it can ask.
//   RecordedStep step(*net, opt);
//   for (const data::Batch& batch : batches)
//     step({batch.images, batch.labels}, [&](const std::vector<Tensor>& in) -> std::vector<Tensor> {
//       Variable losses = cross_entropy((*net)(in[0]), in[1]);
//       opt.zero_grad();
//       backward(opt.reduce(losses));
//       opt.step();
//       return {losses.value()};
//     });
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "layers/module.h"
#include "optim/optimizer.h"

namespace heft::train {

// The numbers are those of a step that is not recorded, bit for bit: a replay follows the inputs, the parameters, the learning
// rate, lambda, the state of the reduction and the random numbers of dropout. What else the work depends on is as it was when
// it was recorded: call reset() when that changes. Inputs of other shapes than before run as they are, and are recorded when
// they keep coming; so does everything on a CPU, with an optimizer that is not replayable(), and where the work turns out to
// need the CPU (why_not() says so).
class RecordedStep {
 public:
  using Work = std::function<std::vector<Tensor>(const std::vector<Tensor>& inputs)>;

  RecordedStep(Module& net, optim::Optimizer& opt, bool enabled = true);
  ~RecordedStep();
  RecordedStep(const RecordedStep&) = delete;
  RecordedStep& operator=(const RecordedStep&) = delete;

  // What the work returns: tensors that the next step may overwrite. Inputs may be undefined, and on the CPU.
  std::vector<Tensor> operator()(const std::vector<Tensor>& inputs, const Work& work);
  void reset();
  // Empty while nothing stands in the way of recording.
  const std::string& why_not() const { return why_not_; }
  std::int64_t replays() const { return replays_; }

 private:
  struct Recorded;
  Recorded& recorded_for(const std::vector<Tensor>& inputs);
  bool record(Recorded& entry, const Work& work);

  Module& net_;
  optim::Optimizer& opt_;
  std::string why_not_;
  std::int64_t replays_ = 0;
  std::vector<std::unique_ptr<Recorded>> recorded_;
};

}  // namespace heft::train
