// Visits the elements of N strided operands of one (broadcast) shape. Internal to cuda/.
#pragma once

#include <array>

#include "core/host/strided_loop.h"
#include "cuda/launch.cuh"

namespace heft::cuda {

// Where element i of the shape lies in each operand. Neighbouring axes that all operands step through evenly are one.
template <int N>
struct Walk {
  int rank = 0;
  std::uint32_t extents[Shape::kMaxRank] = {};
  std::int64_t strides[N][Shape::kMaxRank] = {};

  __device__ void at(std::uint32_t i, std::int64_t (&offsets)[N]) const {
    for (int k = 0; k < N; ++k) offsets[k] = 0;
    for (int axis = rank - 1; axis > 0; --axis) {
      const std::uint32_t rest = i / extents[axis], step = i - rest * extents[axis];
      for (int k = 0; k < N; ++k) offsets[k] += step * strides[k][axis];
      i = rest;
    }
    for (int k = 0; k < N; ++k) offsets[k] += i * strides[k][0];
  }
};

template <int N>
Walk<N> walk_over(const Shape& shape, const std::array<Shape::Strides, N>& strides) {
  check_shape(shape.numel() < (std::int64_t{1} << 32), "cuda", "fewer than 2^32 elements; got " + shape.str());
  Walk<N> walk;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const auto from = static_cast<std::size_t>(axis);
    if (shape[axis] == 1) continue;
    bool merge = walk.rank > 0;
    for (std::size_t k = 0; merge && k < N; ++k) merge = walk.strides[k][walk.rank - 1] == strides[k][from] * shape[axis];
    const int to = merge ? walk.rank - 1 : walk.rank++;
    walk.extents[to] = (merge ? walk.extents[to] : 1) * static_cast<std::uint32_t>(shape[axis]);
    for (std::size_t k = 0; k < N; ++k) walk.strides[k][to] = strides[k][from];
  }
  return walk;
}

template <int N, class F>
__global__ void walk_kernel(std::uint32_t n, Walk<N> walk, F f) {
  for (std::uint64_t i = std::uint64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n;
       i += std::uint64_t{gridDim.x} * blockDim.x) {
    std::int64_t offsets[N];
    walk.at(static_cast<std::uint32_t>(i), offsets);
    f(offsets);
  }
}
// Calls f(offsets) for every element of `shape`.
template <int N, class F>
void for_each_strided(const char* op, const Shape& shape, const std::array<Shape::Strides, N>& strides, const F& f) {
  if (shape.numel() == 0) return;
  const Walk<N> walk = walk_over<N>(shape, strides);
  launch(walk_kernel<N, F>, blocks_for(shape.numel()), kThreads, 0, stream(), static_cast<std::uint32_t>(shape.numel()), walk,
         f);
  launched(op);
}

}  // namespace heft::cuda
