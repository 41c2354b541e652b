// A CUDA graph as a Recording. Internal to cuda/.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

#include "core/recording.h"
#include "cuda/allocator.h"

namespace heft::cuda {

// Captures what `work` asks of the GPU, which is not done then. `work` must not wait for the GPU nor hand it memory of the CPU:
// reading or uploading a tensor throws. What `work` throws leaves, and nothing is kept.
class Graph final : public Recording {
 public:
  explicit Graph(const std::function<void()>& work);
  ~Graph() override;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void replay() override;

 private:
  GraphPool pool_;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace heft::cuda
