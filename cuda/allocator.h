// Memory of the GPU, cached. All work runs on one stream, so a block may go to its next tensor while the last use of it is
// still queued. Internal to cuda/.
#pragma once

#include <memory>

#include "core/memory.h"

namespace heft::cuda {

// While a graph is captured and for as long as it lives, the blocks that its tensors had belong to it alone: a replay writes to
// them again, whoever holds them by then.
class GraphPool {
 public:
  GraphPool();   // tensors made from here on get their blocks from the pool
  void close();  // no longer
  ~GraphPool();
  GraphPool(const GraphPool&) = delete;
  GraphPool& operator=(const GraphPool&) = delete;

 private:
  struct Blocks;
  friend class CudaAllocator;
  std::unique_ptr<Blocks> blocks_;
};

}  // namespace heft::cuda
