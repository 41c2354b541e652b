#include "cuda/graph.h"

#include "cuda/status.h"
#include "cuda/stream.h"

namespace heft::cuda {
namespace {

struct CapturedGraph {
  ~CapturedGraph() {
    if (graph) cudaGraphDestroy(graph);
  }
  cudaGraph_t graph = nullptr;
};

}  // namespace

Graph::Graph(const std::function<void()>& work) {
  cublas();  // made before: it allocates
  CapturedGraph captured;
  // Relaxed: the allocator may ask for memory meanwhile.
  HEFT_CUDA(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeRelaxed));
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(stream(), &captured.graph);
    cudaGetLastError();  // the capture's own complaint would be taken for the next kernel's
    throw;
  }
  HEFT_CUDA(cudaStreamEndCapture(stream(), &captured.graph));
  pool_.close();
  HEFT_CUDA(cudaGraphInstantiate(&executable_, captured.graph, 0));
}

Graph::~Graph() {
  if (executable_) cudaGraphExecDestroy(executable_);
}

void Graph::replay() { HEFT_CUDA(cudaGraphLaunch(executable_, stream())); }

}  // namespace heft::cuda
