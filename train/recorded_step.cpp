#include "train/recorded_step.h"

#include <algorithm>

#include "core/backend.h"
#include "core/random.h"

namespace heft::train {
namespace {

// Steps that run before one is recorded: they make the optimizer's state, lay out the weights and fill the allocator's cache.
constexpr int kWarmUp = 2;
constexpr std::size_t kMostKept = 2;  // each keeps its memory

bool alike(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  return a.shape() == b.shape() && a.dtype() == b.dtype();
}

// Whole numbers that layers count on the host, as batch norm does its batches.
std::vector<Tensor*> counters_of(Module& net) {
  std::vector<Tensor*> counters;
  for (auto& [name, buffer] : net.named_buffers())
    if (buffer->dtype() == DType::i64 && buffer->device().is_cpu() && buffer->is_contiguous()) counters.push_back(buffer);
  return counters;
}

std::vector<std::vector<std::int64_t>> values_of(const std::vector<Tensor*>& counters) {
  std::vector<std::vector<std::int64_t>> values;
  for (const Tensor* counter : counters) values.push_back(counter->to_vector<std::int64_t>());
  return values;
}

// Where everything lies that a step works on.
std::vector<const void*> places_of(Module& net, const optim::Optimizer& opt) {
  std::vector<const void*> places = opt.recorded_places();
  for (const Variable& parameter : net.parameters()) places.push_back(parameter.value().raw());
  for (const auto& [name, buffer] : net.named_buffers()) places.push_back(buffer->raw());
  return places;
}

}  // namespace

struct RecordedStep::Recorded {
  std::vector<Tensor> inputs;  // of the shapes this is for; on the device once recorded
  int seen = 0;
  std::unique_ptr<Recording> recording;
  std::vector<Tensor> outputs;
  std::vector<Tensor*> counters;
  std::vector<std::vector<std::int64_t>> counted;  // by one step
  std::vector<const void*> places;                 // after the last step of these
  std::vector<std::int64_t> updates;               // of each parameter, by one step
  optim::Reduction::DeviceBatch batch;             // what it leaves the reduction with
};

RecordedStep::RecordedStep(Module& net, optim::Optimizer& opt, bool enabled) : net_(net), opt_(opt) {
  if (!enabled) why_not_ = "it is switched off";
}
RecordedStep::~RecordedStep() = default;

void RecordedStep::reset() { recorded_.clear(); }

RecordedStep::Recorded& RecordedStep::recorded_for(const std::vector<Tensor>& inputs) {
  const auto same = [&](const std::unique_ptr<Recorded>& entry) {
    return std::equal(inputs.begin(), inputs.end(), entry->inputs.begin(), entry->inputs.end(), alike);
  };
  const auto found = std::find_if(recorded_.begin(), recorded_.end(), same);
  if (found != recorded_.end()) return **found;
  if (recorded_.size() == kMostKept) {  // the one that came least
    recorded_.erase(
        std::min_element(recorded_.begin(), recorded_.end(), [](const auto& a, const auto& b) { return a->seen < b->seen; }));
  }
  recorded_.push_back(std::make_unique<Recorded>());
  recorded_.back()->inputs = inputs;
  return *recorded_.back();
}

bool RecordedStep::record(Recorded& entry, const Work& work) {
  const Device device = net_.parameters().front().device();
  for (Tensor& input : entry.inputs)
    if (input.defined()) input = Tensor::empty(input.shape(), input.dtype(), device).copy_(input);
  opt_.before_replay();
  entry.counters = counters_of(net_);
  const auto before = values_of(entry.counters);
  const RandomState random = random_state();
  const std::vector<optim::ParameterState> states = opt_.parameter_states();
  try {
    entry.recording = backend_for(device, DType::f32).record([&] { entry.outputs = work(entry.inputs); });
  } catch (const DeviceError& error) {
    why_not_ = error.what();
    for (std::size_t i = 0; i < before.size(); ++i) *entry.counters[i] = Tensor::from(before[i], entry.counters[i]->shape());
    set_random_state(random);
    opt_.restore(states);
    recorded_.clear();
    return false;
  }
  entry.counted = values_of(entry.counters);
  for (std::size_t i = 0; i < before.size(); ++i)
    for (std::size_t k = 0; k < before[i].size(); ++k) entry.counted[i][k] -= before[i][k];
  entry.updates = opt_.updates();
  for (std::size_t i = 0; i < states.size(); ++i) entry.updates[i] -= states[i].steps;
  entry.places = places_of(net_, opt_);
  entry.batch = opt_.reduction().device_batch();
  entry.recording->replay();
  return true;
}

std::vector<Tensor> RecordedStep::operator()(const std::vector<Tensor>& inputs, const Work& work) {
  const Device device = net_.parameters().front().device();
  const auto run = [&] {
    std::vector<Tensor> there;
    for (const Tensor& input : inputs) there.push_back(input.defined() ? input.to(device) : input);
    return work(there);
  };
  if (!why_not_.empty() || !opt_.replayable() || !backend_for(device, DType::f32).records_ahead()) return run();
  Recorded& entry = recorded_for(inputs);
  if (entry.seen > 0 && entry.places != places_of(net_, opt_)) {  // a state was loaded, a layer frozen
    entry.recording.reset();
    entry.seen = 0;
  }
  if (entry.seen++ < kWarmUp) {
    std::vector<Tensor> outputs = run();
    entry.places = places_of(net_, opt_);
    return outputs;
  }
  if (!entry.recording) {
    entry.inputs = inputs;
    if (!record(entry, work)) return run();
    return entry.outputs;
  }
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].defined()) entry.inputs[i].copy_(inputs[i]);
  opt_.before_replay();
  entry.recording->replay();
  opt_.replayed(entry.batch, entry.updates);
  for (std::size_t i = 0; i < entry.counters.size(); ++i)
    for (std::size_t k = 0; k < entry.counted[i].size(); ++k)
      entry.counters[i]->mutable_data<std::int64_t>()[k] += entry.counted[i][k];
  ++replays_;
  return entry.outputs;
}

}  // namespace heft::train
