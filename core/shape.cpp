#include "core/shape.h"

#include <algorithm>
#include <ostream>

#include "core/check.h"

namespace heft {

Shape::Shape(std::span<const std::int64_t> extents) : rank_(static_cast<int>(extents.size())) {
  check<ShapeError>(extents.size() <= kMaxRank, "shape", "expected at most {} axes; got {}", kMaxRank, extents.size());
  std::int64_t reach = 1;  // elements, an axis of none counted as one: strides are products of the others
  for (std::size_t i = 0; i < extents.size(); ++i) {
    check<ShapeError>(extents[i] >= 0, "shape", "expected extents of at least 0; got {} at axis {}", extents[i], i);
    extents_[i] = extents[i];
    check<ShapeError>(!__builtin_mul_overflow(reach, std::max<std::int64_t>(extents[i], 1), &reach), "shape",
                      "expected fewer than 2^63 elements, axes of none aside; got {}", *this);
    numel_ *= extents[i];
  }
}

int Shape::axis(int axis, const char* op) const {
  check<ShapeError>(axis >= -rank_ && axis < rank_, op, "expected an axis in [{}, {}) of shape {}; got {}", -rank_, rank_,
                    *this, axis);
  return axis < 0 ? axis + rank_ : axis;
}

std::int64_t Shape::product(int first, int last) const {
  std::int64_t product = 1;
  for (int i = first; i < last; ++i) product *= (*this)[i];
  return product;
}

Shape Shape::with(int axis, std::int64_t extent) const {
  std::array<std::int64_t, kMaxRank> extents = extents_;
  extents[static_cast<std::size_t>(axis)] = extent;
  return Shape(std::span<const std::int64_t>(extents.data(), static_cast<std::size_t>(rank_)));
}

Shape Shape::without(int axis) const {
  std::array<std::int64_t, kMaxRank> extents{};
  int n = 0;
  for (int i = 0; i < rank_; ++i)
    if (i != axis) extents[static_cast<std::size_t>(n++)] = (*this)[i];
  return Shape(std::span<const std::int64_t>(extents.data(), static_cast<std::size_t>(n)));
}

Shape Shape::inserted(int axis, std::int64_t extent) const {
  check<ShapeError>(rank_ < kMaxRank, "shape", "expected at most {} axes; got one more than {}", kMaxRank, str());
  std::array<std::int64_t, kMaxRank> extents{};
  for (int i = 0, n = 0; i <= rank_; ++i) extents[static_cast<std::size_t>(i)] = i == axis ? extent : (*this)[n++];
  return Shape(std::span<const std::int64_t>(extents.data(), static_cast<std::size_t>(rank_ + 1)));
}

Shape::Strides Shape::row_major_strides() const {
  Strides strides{};
  std::int64_t step = 1;
  for (int i = rank_ - 1; i >= 0; --i) {
    strides[static_cast<std::size_t>(i)] = step;
    step *= (*this)[i];
  }
  return strides;
}

std::string Shape::str() const {
  std::string text = "(";
  for (int i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string((*this)[i]);
  return text + (rank_ == 1 ? ",)" : ")");
}

bool operator==(const Shape& a, const Shape& b) {
  if (a.rank_ != b.rank_) return false;
  for (int i = 0; i < a.rank_; ++i)
    if (a[i] != b[i]) return false;
  return true;
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.str(); }

Shape broadcast(const Shape& a, const Shape& b, const char* op) {
  const int rank = std::max(a.rank(), b.rank());
  std::array<std::int64_t, Shape::kMaxRank> extents{};
  for (int i = 1; i <= rank; ++i) {
    const std::int64_t m = i <= a.rank() ? a[a.rank() - i] : 1, n = i <= b.rank() ? b[b.rank() - i] : 1;
    check<ShapeError>(m == n || m == 1 || n == 1, op, "expected shapes that broadcast together; got {} and {}", a, b);
    extents[static_cast<std::size_t>(rank - i)] = m == 1 ? n : m;
  }
  return Shape(std::span<const std::int64_t>(extents.data(), static_cast<std::size_t>(rank)));
}

}  // namespace heft
