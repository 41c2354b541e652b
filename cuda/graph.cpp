#include "cuda/graph.h"

#include "core/check.h"
#include "cuda/status.h"
#include "cuda/stream.h"

namespace heft::cuda {
namespace {

constexpr std::size_t kMostKeys = 256;
Graph* capturing_graph = nullptr;  // captures are one at a time: GraphPool sees to it

struct CapturedGraph {
  ~CapturedGraph() {
    if (graph) cudaGraphDestroy(graph);
  }
  cudaGraph_t graph = nullptr;
};

RandomKey global_key(std::uint64_t seed, std::uint64_t number) { return {.seed = seed, .stream = stream_of("global", number)}; }

}  // namespace

Graph::Graph(const std::function<void()>& work)
    : keys_(Tensor::empty({static_cast<std::int64_t>(kMostKeys * sizeof(RandomKey))}, DType::u8, Device::cuda())) {
  cublas();  // made before: it allocates
  CapturedGraph captured;
  const RandomState before = random_state();
  capturing_graph = this;
  try {
    // Relaxed: the allocator may ask for memory meanwhile.
    HEFT_CUDA(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeRelaxed));
    work();
  } catch (...) {
    capturing_graph = nullptr;
    cudaStreamEndCapture(stream(), &captured.graph);
    cudaGetLastError();  // the capture's own complaint would be taken for the next kernel's
    throw;
  }
  capturing_graph = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream(), &captured.graph);
  if (ended != cudaSuccess) cudaGetLastError();
  check_status(ended, "cudaStreamEndCapture");
  pool_.close();
  find_drawn(before, random_state());
  HEFT_CUDA(cudaGraphInstantiate(&executable_, captured.graph, 0));
}

Graph::~Graph() {
  if (executable_) cudaGraphExecDestroy(executable_);
}

const RandomKey* Graph::place_for(const RandomKey& key) {
  if (!capturing_graph) return nullptr;
  std::vector<Drawn>& drawn = capturing_graph->drawn_;
  check<DeviceError>(drawn.size() < kMostKeys, "cuda",
                     "expected at most {} draws of random numbers in a captured step; got more", kMostKeys);
  drawn.push_back({key});
  return static_cast<const RandomKey*>(capturing_graph->keys_.raw()) + (drawn.size() - 1);
}

void Graph::find_drawn(RandomState before, RandomState after) {
  keys_per_replay_ = static_cast<std::int64_t>(after.next - before.next);
  for (Drawn& draw : drawn_)
    for (std::int64_t call = 0; call < keys_per_replay_; ++call)
      if (draw.key.stream == global_key(before.seed, before.next + static_cast<std::uint64_t>(call)).stream) draw.after = call;
}

void Graph::upload_keys() {
  if (drawn_.empty()) return;
  if (replayed_) {
    RandomState now = random_state();
    for (Drawn& draw : drawn_)
      if (draw.after >= 0) draw.key = global_key(now.seed, now.next + static_cast<std::uint64_t>(draw.after));
    now.next += static_cast<std::uint64_t>(keys_per_replay_);
    set_random_state(now);
  }
  std::vector<RandomKey> keys;
  for (const Drawn& draw : drawn_) keys.push_back(draw.key);
  HEFT_CUDA(
      cudaMemcpyAsync(keys_.mutable_raw(), keys.data(), keys.size() * sizeof(RandomKey), cudaMemcpyHostToDevice, stream()));
}

void Graph::replay() {
  upload_keys();
  replayed_ = true;
  HEFT_CUDA(cudaGraphLaunch(executable_, stream()));
}

}  // namespace heft::cuda
