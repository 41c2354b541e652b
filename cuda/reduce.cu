// Sums, maxima and minima along an axis.
#include <limits>
#include <string>
#include <type_traits>

#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"

namespace heft {
namespace cuda {
namespace {

// A NaN is greater and less than everything.
struct Sum {
  template <class A>
  static constexpr A none() {
    return A(0);
  }
  template <class A>
  static __device__ A join(A a, A v) {
    return a + v;
  }
};
struct Max {
  template <class A>
  static constexpr A none() {
    return std::numeric_limits<A>::has_infinity ? -std::numeric_limits<A>::infinity() : std::numeric_limits<A>::lowest();
  }
  template <class A>
  static __device__ A join(A a, A v) {
    return v > a || v != v ? v : a;
  }
};
struct Min {
  template <class A>
  static constexpr A none() {
    return std::numeric_limits<A>::has_infinity ? std::numeric_limits<A>::infinity() : std::numeric_limits<A>::max();
  }
  template <class A>
  static __device__ A join(A a, A v) {
    return v < a || v != v ? v : a;
  }
};

// One call's work: vectors of n elements `inner` apart, each cut into `segments` of `length` that are reduced by themselves.
struct Vectors {
  std::int64_t outer, n, inner, segments, length;
};

// The elements begin, begin + step, ... below end, four loads at a time.
template <class Op, class A, class T>
__device__ A join_strided(const T* from, std::int64_t begin, std::int64_t end, std::int64_t step, std::int64_t stride) {
  A a = Op::template none<A>();
  std::int64_t k = begin;
  for (; k + 3 * step < end; k += 4 * step) {
    const T v0 = from[k * stride], v1 = from[(k + step) * stride], v2 = from[(k + 2 * step) * stride],
            v3 = from[(k + 3 * step) * stride];
    a = Op::join(Op::join(a, Op::join(static_cast<A>(v0), static_cast<A>(v1))),
                 Op::join(static_cast<A>(v2), static_cast<A>(v3)));
  }
  for (; k < end; k += step) a = Op::join(a, static_cast<A>(from[k * stride]));
  return a;
}

// A thread a vector: short ones, or so many that nothing has to be shared.
template <class Op, class A, class In, class Out>
__global__ void each_vector_kernel(const In* x, Vectors s, Out* y) {
  for (std::int64_t v = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; v < s.outer * s.inner;
       v += std::int64_t{gridDim.x} * blockDim.x)
    y[v] = static_cast<Out>(join_strided<Op, A>(x + v / s.inner * s.n * s.inner + v % s.inner, 0, s.n, 1, s.inner));
}

// A block a segment of `width` neighbouring vectors: `width` threads side by side, the others below them. -> (outer, segments,
// inner)
template <class Op, class A, class In, class Out>
__global__ void __launch_bounds__(kThreads) block_kernel(const In* x, Vectors s, int width, Out* y) {
  __shared__ A shared[kThreads];
  const int t = static_cast<int>(threadIdx.x), height = kThreads / width, column = t % width, row = t / width;
  const std::int64_t tiles = (s.inner + width - 1) / width;
  for (std::int64_t b = blockIdx.x; b < s.outer * s.segments * tiles; b += gridDim.x) {
    const std::int64_t i = b % tiles * width + column, segment = b / tiles % s.segments, o = b / tiles / s.segments;
    const std::int64_t begin = segment * s.length, end = begin + s.length < s.n ? begin + s.length : s.n;
    const In* from = x + o * s.n * s.inner + i;
    A a = i < s.inner ? join_strided<Op, A>(from, begin + row, end, height, s.inner) : Op::template none<A>();
    shared[t] = a;
    __syncthreads();
    for (int step = height / 2; step > 0; step /= 2) {
      if (row < step) shared[t] = a = Op::join(a, shared[t + step * width]);
      __syncthreads();
    }
    if (row == 0 && i < s.inner) y[(o * s.segments + segment) * s.inner + i] = static_cast<Out>(a);
    __syncthreads();
  }
}

unsigned grid(std::int64_t blocks) { return static_cast<unsigned>(std::clamp<std::int64_t>(blocks, 1, 1 << 20)); }

template <class Op, class A, class In, class Out>
void reduce(const char* op, const In* x, std::int64_t outer, std::int64_t n, std::int64_t inner, Out* y) {
  constexpr std::int64_t kShort = 16, kLeast = 16;  // a thread's share at the least, before a vector is cut
  if (outer * inner == 0) return;
  Vectors s{outer, n, inner, 1, n};
  if (n <= kShort || (inner >= 32 && outer * inner >= std::int64_t{multiprocessors()} * 1024)) {
    each_vector_kernel<Op, A><<<blocks_for(outer * inner, 1, 128), 128, 0, stream()>>>(x, s, y);
    return launched(op);
  }
  int width = 1;
  while (width < 32 && width < inner) width *= 2;
  const std::int64_t height = kThreads / width, blocks = outer * ((inner + width - 1) / width);
  const std::int64_t wanted = std::min(4 * std::int64_t{multiprocessors()} / blocks, n / (height * kLeast));
  if (wanted <= 1) {
    block_kernel<Op, A><<<grid(blocks), kThreads, 0, stream()>>>(x, s, width, y);
    return launched(op);
  }
  s.length = (n + wanted - 1) / wanted;
  s.segments = (n + s.length - 1) / s.length;
  Tensor partials = Tensor::empty(Shape{outer * s.segments * inner}, dtype_of<A>, Device::cuda());
  A* middle = values<A>(partials);
  block_kernel<Op, A><<<grid(blocks * s.segments), kThreads, 0, stream()>>>(x, s, width, middle);
  launched(op);
  block_kernel<Op, A>
      <<<grid(blocks), kThreads, 0, stream()>>>(middle, Vectors{outer, s.segments, inner, 1, s.segments}, width, y);
  launched(op);
}

}  // namespace
}  // namespace cuda

Tensor CudaBackend::reduce(Reduction op, const Tensor& x) {
  const char* names[] = {"sum", "max", "min"};
  const char* name = names[static_cast<int>(op)];
  if (op != Reduction::sum && x.size(1) == 0)
    throw ValueError(name, "expected at least one element along the axis; got shape " + x.shape().str());
  Tensor y = Tensor::empty(Shape{x.size(0), x.size(2)}, x.dtype(), x.device());
  dispatch_number(name, x.dtype(), [&]<class T>() {
    using Wide = std::conditional_t<std::is_floating_point_v<T>, double, std::int64_t>;
    const T* from = cuda::values<T>(x);
    T* to = cuda::values<T>(y);
    switch (op) {
      case Reduction::sum: return cuda::reduce<cuda::Sum, Wide>(name, from, x.size(0), x.size(1), x.size(2), to);
      case Reduction::max: return cuda::reduce<cuda::Max, T>(name, from, x.size(0), x.size(1), x.size(2), to);
      case Reduction::min: return cuda::reduce<cuda::Min, T>(name, from, x.size(0), x.size(1), x.size(2), to);
    }
  });
  return y;
}

}  // namespace heft
