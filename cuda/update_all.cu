// The update of all parameters, and the norm of all their gradients, in a launch or two: a small network's parameters are too
// small to be worth one each.
#include <cmath>

#include "cuda/arrive.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"

namespace heft {
namespace {

constexpr int kMost = 200;             // tensors in a launch; what they are is passed by value
constexpr std::int64_t kChunk = 2048;  // elements of a tensor to a block

// A list of tensors cut into chunks: which block has which.
template <class Entry>
struct Chunks {
  int count = 0;
  int first_block[kMost + 1] = {};  // of each tensor, and the number of blocks
  Entry entries[kMost];

  __device__ int tensor_of(int block) const {
    int low = 0, high = count;  // first_block[low] <= block < first_block[high]
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (first_block[middle] <= block ? low : high) = middle;
    }
    return low;
  }
  void add(const Entry& entry, std::int64_t elements) {
    entries[count] = entry;
    first_block[count + 1] = first_block[count] + static_cast<int>((elements + kChunk - 1) / kChunk);
    ++count;
  }
  int blocks() const { return first_block[count]; }
};

template <class T>
struct Update {
  T *parameter, *velocity;
  const T* gradient;
  std::int64_t n;
  T decay;
  int group;
  bool first;
};

template <class T>
__global__ void update_kernel(const __grid_constant__ Chunks<Update<T>> chunks, T momentum, T fresh, bool nesterov,
                              const double* factors, const std::int64_t* hold) {
  const double factor = factors[0];
  if (factor == 0 || (hold && *hold != 0)) return;
  const int tensor = chunks.tensor_of(static_cast<int>(blockIdx.x));
  const Update<T> u = chunks.entries[tensor];
  const T lr = static_cast<T>(factors[1 + u.group]), scale = static_cast<T>(factor);
  const std::int64_t begin = (static_cast<int>(blockIdx.x) - chunks.first_block[tensor]) * kChunk;
  const std::int64_t end = begin + kChunk < u.n ? begin + kChunk : u.n;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
    T p = u.parameter[i], d = u.gradient[i] * scale + u.decay * p;
    if (u.velocity) {
      const T v = u.first ? d : momentum * u.velocity[i] + fresh * d;
      u.velocity[i] = v;
      d = nesterov ? d + momentum * v : v;
    }
    u.parameter[i] = p - lr * d;
  }
}

template <class T>
void update(std::vector<SgdTarget>& targets, const SgdStep& step, const Tensor& factors, const Tensor& hold) {
  const auto* held = hold.defined() ? static_cast<const std::int64_t*>(hold.raw()) : nullptr;
  for (std::size_t begin = 0; begin < targets.size(); begin += kMost) {
    Chunks<Update<T>> chunks;
    for (std::size_t i = begin; i < std::min(targets.size(), begin + kMost); ++i) {
      SgdTarget& t = targets[i];
      chunks.add({cuda::values<T>(t.parameter), t.velocity.defined() ? cuda::values<T>(t.velocity) : nullptr,
                  cuda::values<T>(std::as_const(t.gradient)), t.parameter.buffer_elements(), T(t.weight_decay),
                  static_cast<int>(t.group), t.first},
                 t.parameter.buffer_elements());
    }
    if (chunks.blocks() == 0) continue;
    cuda::launch(update_kernel<T>, static_cast<unsigned>(chunks.blocks()), 256, 0, cuda::stream(), chunks, T(step.momentum),
                 T(1 - step.dampening), step.nesterov, cuda::values<double>(factors), held);
    cuda::launched("sgd_step");
  }
}

template <class T>
struct AdamUpdate {
  T *parameter, *first_moment, *second_moment;
  const T* gradient;
  std::int64_t n;
  double decay;
  int group;
};

struct Numbers {
  int count = 0;
  int of[kMost];
};

// Counts an update of each, and leaves the two corrections of its bias.
__global__ void count_kernel(const __grid_constant__ Numbers numbers, double* counts, double beta1, double beta2,
                             double* corrections) {
  const int i = static_cast<int>(threadIdx.x);
  if (i >= numbers.count) return;
  const double t = counts[numbers.of[i]] + 1;
  counts[numbers.of[i]] = t;
  corrections[2 * i] = 1 - std::pow(beta1, t);
  corrections[2 * i + 1] = std::sqrt(1 - std::pow(beta2, t));
}

template <class T>
__global__ void adam_kernel(const __grid_constant__ Chunks<AdamUpdate<T>> chunks, T beta1, T beta2, T eps, bool decoupled,
                            const double* factors, const double* corrections, const std::int64_t* hold) {
  const double factor = factors[0];
  if (factor == 0 || (hold && *hold != 0)) return;
  const int tensor = chunks.tensor_of(static_cast<int>(blockIdx.x));
  const AdamUpdate<T> u = chunks.entries[tensor];
  const double rate = factors[1 + u.group];
  const T lr = static_cast<T>(rate), scale = static_cast<T>(factor);
  const T coupled = decoupled ? T(0) : static_cast<T>(u.decay), shrink = decoupled ? static_cast<T>(1 - rate * u.decay) : T(1);
  const T correction1 = static_cast<T>(corrections[2 * tensor]), correction2 = static_cast<T>(corrections[2 * tensor + 1]);
  const std::int64_t begin = (static_cast<int>(blockIdx.x) - chunks.first_block[tensor]) * kChunk;
  const std::int64_t end = begin + kChunk < u.n ? begin + kChunk : u.n;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
    const T p = u.parameter[i], d = u.gradient[i] * scale + coupled * p;
    const T m = beta1 * u.first_moment[i] + (T(1) - beta1) * d, v = beta2 * u.second_moment[i] + (T(1) - beta2) * d * d;
    u.first_moment[i] = m, u.second_moment[i] = v;
    u.parameter[i] = shrink * p - lr / correction1 * m / (std::sqrt(v) / correction2 + eps);
  }
}

template <class T>
void update(std::vector<AdamTarget>& targets, const AdamStep& step, const Tensor& factors, Tensor& counts, const Tensor& hold) {
  const auto* held = hold.defined() ? static_cast<const std::int64_t*>(hold.raw()) : nullptr;
  for (std::size_t begin = 0; begin < targets.size(); begin += kMost) {
    Chunks<AdamUpdate<T>> chunks;
    Numbers numbers;
    for (std::size_t i = begin; i < std::min(targets.size(), begin + kMost); ++i) {
      AdamTarget& t = targets[i];
      numbers.of[numbers.count++] = static_cast<int>(t.number);
      chunks.add({cuda::values<T>(t.parameter), cuda::values<T>(t.first_moment), cuda::values<T>(t.second_moment),
                  cuda::values<T>(std::as_const(t.gradient)), t.parameter.buffer_elements(), t.weight_decay,
                  static_cast<int>(t.group)},
                 t.parameter.buffer_elements());
    }
    Tensor corrections = Tensor::empty({2 * numbers.count}, DType::f64, Device::cuda());
    cuda::launch(count_kernel, 1, kMost, 0, cuda::stream(), numbers, cuda::values<double>(counts), step.beta1, step.beta2,
                 cuda::values<double>(corrections));
    cuda::launched("adam_step");
    if (chunks.blocks() == 0) continue;
    cuda::launch(adam_kernel<T>, static_cast<unsigned>(chunks.blocks()), 256, 0, cuda::stream(), chunks, T(step.beta1),
                 T(step.beta2), T(step.eps), step.decoupled, cuda::values<double>(factors), cuda::values<double>(corrections),
                 held);
    cuda::launched("adam_step");
  }
}

template <class T>
struct Values {
  const T* values;
  std::int64_t n;
};

__device__ unsigned arrivals;  // blocks of a single launch of squares_kernel that are done; 0 between launches

// Block by block into `sums`, of which all launches of a step have `blocks` together; the last block to finish turns them into
// the factor. `counter`: where several launches count the blocks that are done, null for a single one.
template <class T>
__global__ void squares_kernel(const __grid_constant__ Chunks<Values<T>> chunks, std::int64_t first, std::int64_t blocks,
                               double* sums, unsigned* counter, double largest, double scale, double* factors,
                               std::int64_t last) {
  __shared__ double shared[32];
  const int tensor = chunks.tensor_of(static_cast<int>(blockIdx.x));
  const Values<T> v = chunks.entries[tensor];
  const std::int64_t begin = (static_cast<int>(blockIdx.x) - chunks.first_block[tensor]) * kChunk;
  const std::int64_t end = begin + kChunk < v.n ? begin + kChunk : v.n;
  double sum = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) sum += static_cast<double>(v.values[i]) * v.values[i];
  sum = cuda::block_sum(sum, shared);
  if (threadIdx.x == 0) sums[first + blockIdx.x] = sum;
  if (!cuda::arrives_last(counter ? counter : &arrivals, static_cast<unsigned>(blocks))) return;
  sum = 0;
  for (std::int64_t i = threadIdx.x; i < blocks; i += blockDim.x) sum += __ldcg(sums + i);
  const double norm = std::sqrt(cuda::block_sum(sum, shared)) * scale;
  if (threadIdx.x != 0) return;
  if (!std::isfinite(norm)) factors[last] += 1;
  factors[0] = factors[last] != 0 ? 0 : norm > largest ? scale * (largest / norm) : scale;
}

template <class T>
void clip(const std::vector<Tensor>& gradients, std::int64_t blocks, double largest, double scale, Tensor& factors) {
  Tensor sums = Tensor::empty({blocks + 1}, DType::f64, Device::cuda());
  // Launches of another step may come in between, so these count in memory of their own.
  unsigned* counter = nullptr;
  if (gradients.size() > kMost) {
    counter = reinterpret_cast<unsigned*>(cuda::values<double>(sums) + blocks);
    HEFT_CUDA(cudaMemsetAsync(counter, 0, sizeof *counter, cuda::stream()));
  }
  std::int64_t first = 0;
  for (std::size_t begin = 0; begin < gradients.size(); begin += kMost) {
    Chunks<Values<T>> chunks;
    for (std::size_t i = begin; i < std::min(gradients.size(), begin + kMost); ++i)
      chunks.add({cuda::values<T>(gradients[i]), gradients[i].buffer_elements()}, gradients[i].buffer_elements());
    if (chunks.blocks() == 0) continue;
    cuda::launch(squares_kernel<T>, static_cast<unsigned>(chunks.blocks()), 256, 0, cuda::stream(), chunks, first, blocks,
                 cuda::values<double>(sums), counter, largest, scale, cuda::values<double>(factors), factors.numel() - 1);
    cuda::launched("gradient_norm");
    first += chunks.blocks();
  }
}

// Those of one element type after those of the other.
template <class Item, class Of>
std::vector<Item> of_type(const std::vector<Item>& items, DType dtype, Of of) {
  std::vector<Item> result;
  for (const Item& item : items)
    if (of(item).dtype() == dtype) result.push_back(item);
  return result;
}

}  // namespace

void CudaBackend::sgd_steps(std::vector<SgdTarget>& targets, const SgdStep& step, const Tensor& factors, const Tensor& hold) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    auto some = of_type(targets, dtype, [](const SgdTarget& t) -> const Tensor& { return t.parameter; });
    if (!some.empty()) dispatch_float("sgd_step", dtype, [&]<class T>() { update<T>(some, step, factors, hold); });
  }
}

void CudaBackend::adam_steps(std::vector<AdamTarget>& targets, const AdamStep& step, const Tensor& factors, Tensor& counts,
                             const Tensor& hold) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    auto some = of_type(targets, dtype, [](const AdamTarget& t) -> const Tensor& { return t.parameter; });
    if (!some.empty()) dispatch_float("adam_step", dtype, [&]<class T>() { update<T>(some, step, factors, counts, hold); });
  }
}

void CudaBackend::clip_factor(const std::vector<Tensor>& gradients, double largest, double scale, Tensor& factors) {
  const bool mixed =
      std::any_of(gradients.begin(), gradients.end(), [&](const Tensor& g) { return g.dtype() != gradients.front().dtype(); });
  std::int64_t blocks = 0;
  for (const Tensor& gradient : gradients) blocks += (gradient.buffer_elements() + kChunk - 1) / kChunk;
  if (mixed || blocks == 0) return Backend::clip_factor(gradients, largest, scale, factors);
  dispatch_float("gradient_norm", gradients.front().dtype(),
                 [&]<class T>() { clip<T>(gradients, blocks, largest, scale, factors); });
}

}  // namespace heft
