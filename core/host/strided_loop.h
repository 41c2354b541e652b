// Visits the elements of N strided operands of one (broadcast) shape, row by row, in parallel.
#pragma once

#include <array>
#include <cstdint>

#include "core/parallel.h"
#include "core/shape.h"
#include "core/tensor.h"

namespace heft {

constexpr std::int64_t kElementwiseGrain = 16384;  // below this many elements a second thread costs more than it brings

// The steps of `x` when it is broadcast to `shape`.
inline Shape::Strides broadcast_strides(const Tensor& x, const Shape& shape) {
  Shape::Strides strides{};
  const int added = shape.rank() - x.rank();
  for (int i = 0; i < x.rank(); ++i)
    strides[static_cast<std::size_t>(i + added)] = x.shape()[i] == 1 ? 0 : x.strides()[static_cast<std::size_t>(i)];
  return strides;
}

// Calls row(offsets, n, steps): n elements, operand k's at offsets[k] + i * steps[k]. Neighbouring axes that every operand
// steps through evenly are merged first, so equal dense operands make one long row.
template <std::size_t N, class Row>
void for_each_row(const Shape& shape, std::array<Shape::Strides, N> strides, Row row) {
  if (shape.numel() == 0) return;
  std::array<std::int64_t, Shape::kMaxRank> extents{};
  int rank = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const auto from = static_cast<std::size_t>(axis);
    if (shape[axis] == 1) continue;
    bool merge = rank > 0;
    for (std::size_t k = 0; merge && k < N; ++k)
      merge = strides[k][static_cast<std::size_t>(rank - 1)] == strides[k][from] * shape[axis];
    const auto to = static_cast<std::size_t>(merge ? rank - 1 : rank++);
    extents[to] = (merge ? extents[to] : 1) * shape[axis];
    for (std::size_t k = 0; k < N; ++k) strides[k][to] = strides[k][from];
  }
  if (rank == 0) {  // one element
    extents[0] = 1;
    rank = 1;
    for (auto& s : strides) s[0] = 1;
  }
  const auto last = static_cast<std::size_t>(rank - 1);
  std::array<std::int64_t, N> steps{};
  for (std::size_t k = 0; k < N; ++k) steps[k] = strides[k][last];
  const std::int64_t n = extents[last], rows = shape.numel() / n;
  if (rows == 1) {
    parallel_for(n, kElementwiseGrain, [&](std::int64_t begin, std::int64_t end) {
      std::array<std::int64_t, N> offsets{};
      for (std::size_t k = 0; k < N; ++k) offsets[k] = begin * steps[k];
      row(offsets, end - begin, steps);
    });
    return;
  }
  parallel_for(rows, std::max<std::int64_t>(kElementwiseGrain / n, 1), [&](std::int64_t begin, std::int64_t end) {
    std::array<std::int64_t, Shape::kMaxRank> at{};
    std::array<std::int64_t, N> offsets{};
    std::int64_t rest = begin;
    for (std::size_t axis = last; axis-- > 0;) {
      at[axis] = rest % extents[axis];
      rest /= extents[axis];
      for (std::size_t k = 0; k < N; ++k) offsets[k] += at[axis] * strides[k][axis];
    }
    for (std::int64_t r = begin; r < end; ++r) {
      row(offsets, n, steps);
      for (std::size_t axis = last; axis-- > 0;) {  // the next row, like an odometer
        for (std::size_t k = 0; k < N; ++k) offsets[k] += strides[k][axis];
        if (++at[axis] < extents[axis]) break;
        for (std::size_t k = 0; k < N; ++k) offsets[k] -= extents[axis] * strides[k][axis];
        at[axis] = 0;
      }
    }
  });
}

}  // namespace heft
