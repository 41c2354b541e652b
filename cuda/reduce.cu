// Sums, maxima and minima along an axis, where the first maximum is, and sums of squares.
#include <limits>
#include <string>
#include <type_traits>

#include "cuda/arrive.cuh"
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

template <class T>
__device__ bool beats(T v, std::int64_t at, T top, std::int64_t top_at) {
  if (v != v) return top == top || at < top_at;  // a NaN wins, so that it is seen
  return v > top || (v == top && at < top_at);
}

// A warp a vector, or with Lanes = 1 a thread.
template <class T, int Lanes>
__global__ void argmax_kernel(const T* x, Vectors s, std::int64_t* y) {
  const std::int64_t first = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / Lanes;
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x / Lanes;
  for (std::int64_t v = first; v < s.outer * s.inner; v += step) {
    const T* from = x + v / s.inner * s.n * s.inner + v % s.inner;
    std::int64_t at = Lanes == 1 ? 0 : threadIdx.x % Lanes;
    if (at >= s.n) at = 0;  // another lane's too, and no worse for it
    T top = from[at * s.inner];
#pragma unroll 4
    for (std::int64_t k = at + Lanes; k < s.n; k += Lanes)
      if (const T value = from[k * s.inner]; beats(value, k, top, at)) top = value, at = k;
    for (int lanes = Lanes / 2; lanes > 0; lanes /= 2) {
      const T other = __shfl_xor_sync(0xffffffffu, top, lanes);
      const std::int64_t other_at = __shfl_xor_sync(0xffffffffu, at, lanes);
      if (beats(other, other_at, top, at)) top = other, at = other_at;
    }
    if (Lanes == 1 || threadIdx.x % Lanes == 0) y[v] = at;
  }
}

__device__ unsigned arrivals;  // blocks of sum_squares that are done; 0 between launches

template <class T>
__global__ void __launch_bounds__(kThreads) sum_squares_kernel(const T* x, std::int64_t n, double* partials, double* y) {
  __shared__ double shared[32];
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  double total = 0;
#pragma unroll 8
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step) {
    const double v = x[i];
    total += v * v;
  }
  total = block_sum(total, shared);
  if (threadIdx.x == 0) partials[blockIdx.x] = total;
  if (!arrives_last(&arrivals, gridDim.x)) return;
  total = 0;
  for (unsigned b = threadIdx.x; b < gridDim.x; b += blockDim.x) total += __ldcg(partials + b);
  total = block_sum(total, shared);
  if (threadIdx.x == 0) *y = total;
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

Tensor CudaBackend::argmax(const Tensor& x) {
  const cuda::Vectors s{x.size(0), x.size(1), x.size(2), 1, x.size(1)};
  Tensor y = Tensor::empty(Shape{s.outer, s.inner}, DType::i64, x.device());
  const std::int64_t vectors = s.outer * s.inner;
  if (vectors == 0) return y;
  dispatch_number("argmax", x.dtype(), [&]<class T>() {
    const T* from = cuda::values<T>(x);
    std::int64_t* to = cuda::values<std::int64_t>(y);
    if (s.n <= 16 || s.inner >= 32) {
      cuda::argmax_kernel<T, 1><<<cuda::blocks_for(vectors, 1, 128), 128, 0, cuda::stream()>>>(from, s, to);
    } else {
      cuda::argmax_kernel<T, 32><<<cuda::blocks_for(32 * vectors, 1, 128), 128, 0, cuda::stream()>>>(from, s, to);
    }
    cuda::launched("argmax");
  });
  return y;
}

// Whatever the layout: the order of what is added up does not matter beyond being the same each time.
Tensor CudaBackend::sum_squares(const Tensor& x) {
  const std::int64_t n = x.buffer_elements();
  const auto blocks =
      static_cast<unsigned>(std::clamp<std::int64_t>(n / (8 * cuda::kThreads), 1, 2 * std::int64_t{cuda::multiprocessors()}));
  Tensor y = Tensor::empty(Shape{}, DType::f64, x.device());
  Tensor partials = Tensor::empty(Shape{std::int64_t{blocks}}, DType::f64, x.device());
  dispatch_float("sum_squares", x.dtype(), [&]<class T>() {
    cuda::sum_squares_kernel<<<blocks, cuda::kThreads, 0, cuda::stream()>>>(
        cuda::values<T>(x), n, cuda::values<double>(partials), cuda::values<double>(y));
  });
  cuda::launched("sum_squares");
  return y;
}

}  // namespace heft
