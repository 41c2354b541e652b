// A CUDA graph as a Recording. Internal to cuda/.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <vector>

#include "core/random.h"
#include "core/recording.h"
#include "core/tensor.h"
#include "cuda/allocator.h"

namespace heft::cuda {

// Captures what `work` asks of the GPU, which is not done then. `work` must not wait for the GPU nor hand it memory of the CPU:
// reading or uploading a tensor throws. What `work` throws leaves, and nothing is kept.
// Random numbers of next_random_key() are new in every replay, the ones that the same work would have drawn by then; the first
// replay has those of the capture.
class Graph final : public Recording {
 public:
  explicit Graph(const std::function<void()>& work);
  ~Graph() override;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void replay() override;

  // Of the graph that is being captured: where its kernels find this key from replay to replay. Null where none is.
  static const RandomKey* place_for(const RandomKey& key);

 private:
  struct Drawn {
    RandomKey key;
    std::int64_t after = -1;  // so many calls of next_random_key() into the work; -1: given by the caller, always the same
  };
  void find_drawn(RandomState before, RandomState after);
  void upload_keys();

  GraphPool pool_;
  Tensor keys_;  // the bytes of kMostKeys RandomKeys
  std::vector<Drawn> drawn_;
  std::int64_t keys_per_replay_ = 0;
  bool replayed_ = false;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace heft::cuda
