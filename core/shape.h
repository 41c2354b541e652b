// Shape: the logical extent of a tensor, row-major, outermost axis first. A value of at most 8 axes, no allocation.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <span>
#include <string>

namespace heft {

class Shape {
 public:
  static constexpr int kMaxRank = 8;
  using Strides = std::array<std::int64_t, kMaxRank>;

  Shape() = default;  // rank 0: one element
  // Throws ShapeError for more than 8 axes, a negative extent, or a product that overflows 63 bits.
  Shape(std::initializer_list<std::int64_t> extents) : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const std::int64_t> extents);

  int rank() const { return rank_; }
  std::int64_t numel() const { return numel_; }
  std::int64_t operator[](int axis) const { return extents_[static_cast<std::size_t>(axis)]; }
  std::int64_t back() const { return extents_[static_cast<std::size_t>(rank_ - 1)]; }
  const std::int64_t* begin() const { return extents_.data(); }
  const std::int64_t* end() const { return extents_.data() + rank_; }

  // The axis counted from the front: axis(-1) == rank() - 1. Throws ShapeError naming `op` when out of range.
  int axis(int axis, const char* op) const;
  // The product of the extents in [first, last).
  std::int64_t product(int first, int last) const;
  // The same shape with one extent replaced, one axis removed, one axis inserted before `axis`.
  Shape with(int axis, std::int64_t extent) const;
  Shape without(int axis) const;
  Shape inserted(int axis, std::int64_t extent) const;

  // Steps in elements of a dense row-major tensor of this shape.
  Strides row_major_strides() const;
  // "(64, 3, 28, 28)".
  std::string str() const;

  friend bool operator==(const Shape& a, const Shape& b);

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
  std::int64_t numel_ = 1;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);

// The shape two operands broadcast to (NumPy's rule: axes aligned at the end, 1 stretches).
// Throws ShapeError naming `op` and both shapes.
Shape broadcast(const Shape& a, const Shape& b, const char* op);

}  // namespace heft
