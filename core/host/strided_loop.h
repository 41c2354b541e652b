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

// What an elementwise loop into `y` visits, and the steps of `x` there. An opaque layout, which all operands then share, is one
// row.
inline Shape loop_shape(const Tensor& y) { return y.is_opaque() ? Shape{y.buffer_elements()} : y.shape(); }
inline Shape::Strides loop_strides(const Tensor& x, const Tensor& y) {
  return y.is_opaque() ? Shape::Strides{1} : broadcast_strides(x, y.shape());
}

// What for_each_row visits: the axes of `extents`, the last of which is the row.
template <std::size_t N>
struct Rows {
  std::array<std::int64_t, Shape::kMaxRank> extents{};
  std::array<Shape::Strides, N> strides;
  int rank = 0;
};

// Merges neighbouring axes that every operand steps through evenly, so equal dense operands make one long row. For shapes that
// are not empty. By itself, and not in each of the hundreds of loops that want it.
template <std::size_t N>
[[gnu::noinline]] Rows<N> merge_axes(const Shape& shape, const std::array<Shape::Strides, N>& strides) {
  Rows<N> rows{.strides = strides};
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const auto from = static_cast<std::size_t>(axis);
    if (shape[axis] == 1) continue;
    bool merge = rows.rank > 0;
    for (std::size_t k = 0; merge && k < N; ++k)
      merge = rows.strides[k][static_cast<std::size_t>(rows.rank - 1)] == strides[k][from] * shape[axis];
    const auto to = static_cast<std::size_t>(merge ? rows.rank - 1 : rows.rank++);
    rows.extents[to] = (merge ? rows.extents[to] : 1) * shape[axis];
    for (std::size_t k = 0; k < N; ++k) rows.strides[k][to] = strides[k][from];
  }
  if (rows.rank == 0) {  // one element
    rows.extents[0] = 1;
    rows.rank = 1;
    for (auto& s : rows.strides) s[0] = 1;
  }
  return rows;
}

// Calls row(offsets, n, steps): n elements, operand k's at offsets[k] + i * steps[k].
template <std::size_t N, class Row>
void for_each_row(const Shape& shape, const std::array<Shape::Strides, N>& operands, Row row) {
  if (shape.numel() == 0) return;
  const Rows<N> rows = merge_axes<N>(shape, operands);
  const auto last = static_cast<std::size_t>(rows.rank - 1);
  std::array<std::int64_t, N> steps{};
  for (std::size_t k = 0; k < N; ++k) steps[k] = rows.strides[k][last];
  const std::int64_t n = rows.extents[last];
  const bool one = last == 0;  // the threads divide a single row, and deal out several
  const std::int64_t work = one ? n : shape.numel() / n, grain = one ? kElementwiseGrain : kElementwiseGrain / n;
  parallel_for(work, std::max<std::int64_t>(grain, 1), [&](std::int64_t begin, std::int64_t end) {
    std::array<std::int64_t, Shape::kMaxRank> at{};
    std::array<std::int64_t, N> offsets{};
    if (one)
      for (std::size_t k = 0; k < N; ++k) offsets[k] = begin * steps[k];
    std::int64_t rest = begin;
    for (std::size_t axis = last; axis-- > 0;) {
      at[axis] = rest % rows.extents[axis];
      rest /= rows.extents[axis];
      for (std::size_t k = 0; k < N; ++k) offsets[k] += at[axis] * rows.strides[k][axis];
    }
    const std::int64_t length = one ? end - begin : n;
    for (std::int64_t r = one ? end - 1 : begin; r < end; ++r) {
      row(offsets, length, steps);
      for (std::size_t axis = last; axis-- > 0;) {  // the next row, like an odometer
        for (std::size_t k = 0; k < N; ++k) offsets[k] += rows.strides[k][axis];
        if (++at[axis] < rows.extents[axis]) break;
        for (std::size_t k = 0; k < N; ++k) offsets[k] -= rows.extents[axis] * rows.strides[k][axis];
        at[axis] = 0;
      }
    }
  });
}

}  // namespace heft
