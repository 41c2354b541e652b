// Tensor: a shaped array of values. It never records a graph (that is Variable, in autograd/), so whatever is computed
// with Tensors is a constant to automatic differentiation.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/layout.h"
#include "core/memory.h"
#include "core/shape.h"

namespace heft {

// Copying a Tensor shares its storage; clone() copies the values. reshape, slice, transpose, permute and expand are
// views wherever strides allow: they share storage too. Negative axes count from the end.
// Errors: ShapeError, DTypeError, DeviceError as named in core/error.h.
class Tensor {
 public:
  Tensor() = default;  // undefined: defined() is false, and nothing else may be asked of it

  // Values not set.
  static Tensor empty(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu());
  // For backends: a buffer in the backend's own layout, of layout.opaque()->buffer_elements() elements.
  static Tensor empty(const Shape& shape, DType dtype, Device device, const Layout& layout);
  // Uninitialised, with the shape, dtype, device and layout of `other` (row-major where `other` is strided).
  static Tensor empty_like(const Tensor& other);
  // For gradients that ask how an input lay and never what it held: the shape, dtype, device and layout of `other`, and no
  // memory. Reading it throws ShapeError.
  static Tensor form_of(const Tensor& other);
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu());
  static Tensor ones(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu());
  static Tensor full(const Shape& shape, double value, DType dtype = DType::f32, Device device = Device::cpu());
  static Tensor zeros_like(const Tensor& other);
  // 0, 1, ..., n - 1.
  static Tensor arange(std::int64_t n, DType dtype = DType::i64);
  // Rank 0.
  static Tensor scalar(double value, DType dtype = DType::f32, Device device = Device::cpu());
  // Copies `values` in row-major order; throws ShapeError unless there are shape.numel() of them.
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape);
  template <class T>
  static Tensor from(const std::vector<T>& values) {
    return from(values, Shape{static_cast<std::int64_t>(values.size())});
  }

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  const Shape::Strides& strides() const { return strides_; }  // in elements; meaningless when the layout is opaque
  int rank() const { return shape_.rank(); }
  std::int64_t numel() const { return shape_.numel(); }
  std::int64_t size(int axis) const { return shape_[shape_.axis(axis, "size")]; }
  DType dtype() const { return dtype_; }
  Device device() const;
  const Layout& layout() const { return layout_; }
  bool is_opaque() const { return layout_.is_opaque(); }
  // Row-major, dense: element i of the flattened tensor is data()[i].
  bool is_contiguous() const;
  // Elements a flat loop over the buffer visits: numel(), or more where an opaque layout pads.
  std::int64_t buffer_elements() const;

  // This tensor if it is contiguous, else a row-major copy.
  Tensor contiguous() const;
  Tensor clone() const;
  // Throws DeviceError where the device is not there.
  Tensor to(Device device) const;
  // A copy in another element type (this tensor if it already has it). Floats truncate towards zero to integers;
  // to bool: value != 0.
  Tensor astype(DType dtype) const;

  // One extent may be -1: what is left. A view if strides allow, else a copy.
  Tensor reshape(std::span<const std::int64_t> extents) const;
  Tensor reshape(std::initializer_list<std::int64_t> extents) const {
    return reshape(std::span(extents.begin(), extents.size()));
  }
  Tensor reshape(const std::vector<std::int64_t>& extents) const { return reshape(std::span<const std::int64_t>(extents)); }
  Tensor reshape(const Shape& shape) const;
  Tensor flatten(int first_axis = 0) const;  // axes from first_axis on become one
  // Elements begin, begin + step, ... below end along `axis`; begin and end may be negative and are clamped.
  Tensor slice(int axis, std::int64_t begin, std::int64_t end, std::int64_t step = 1) const;
  // slice of one element with the axis removed.
  Tensor select(int axis, std::int64_t index) const;
  Tensor transpose(int axis_a = -2, int axis_b = -1) const;
  Tensor permute(const std::vector<int>& axes) const;
  Tensor unsqueeze(int axis) const;
  Tensor squeeze(int axis) const;
  // Axes of extent 1 stretch, new axes appear in front; no memory is copied.
  Tensor expand(const Shape& shape) const;

  // Pointer to the first element. The tensor must be on the CPU, in row-major order (strides are the caller's
  // business: see is_contiguous) and hold T. Writing goes through mutable_data, which counts as a write.
  template <class T>
  const T* data() const;
  template <class T>
  T* mutable_data();
  // For backends: any dtype, device and layout.
  const void* raw() const;
  void* mutable_raw();

  // Row-major values, converted to T.
  template <class T>
  std::vector<T> to_vector() const;
  // The value of a one-element tensor. Waits for the device.
  template <class T = double>
  T item() const;

  // In place. Views see it; autograd notices when a saved value changes.
  Tensor& fill_(double value);
  Tensor& copy_(const Tensor& source);  // same shape; converts dtype and device

  // How many tensors share this one's storage, itself among them.
  long storage_users() const { return storage_.use_count(); }
  bool shares_storage(const Tensor& other) const { return storage_ && storage_ == other.storage_; }
  // Writes so far to the storage this tensor views.
  std::uint64_t version() const;
  // Rounded, at most `edge_items` per edge of an axis: for people to read.
  std::string str(int edge_items = 3) const;

 private:
  Tensor view(const Shape& shape, const Shape::Strides& strides, std::int64_t offset) const;

  std::shared_ptr<Storage> storage_;
  Shape shape_;
  Shape::Strides strides_{};
  std::int64_t offset_ = 0;  // in elements
  DType dtype_ = DType::f32;
  Layout layout_;
};

std::ostream& operator<<(std::ostream& out, const Tensor& tensor);

// Whether x keeps its values in fewer bits than its dtype has, in a backend's own layout.
inline bool is_compact(const Tensor& x) { return x.buffer_elements() < x.numel(); }

}  // namespace heft
