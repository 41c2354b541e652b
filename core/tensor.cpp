#include "core/tensor.h"

#include <algorithm>

#include "core/backend.h"
#include "core/check.h"

namespace heft {
namespace {

// Element order used by copies that change nothing but the order: dense row-major with strides for `shape`.
bool dense_row_major(const Shape& shape, const Shape::Strides& strides) {
  std::int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    if (shape[i] != 1 && strides[static_cast<std::size_t>(i)] != step) return false;
    step *= shape[i];
  }
  return true;
}

// Strides of `shape` over the same elements, or false where no strides express it. Extents of 1 are free to move;
// a run of axes may be merged or split when it is dense within itself.
bool reshape_strides(const Shape& from, const Shape::Strides& strides, const Shape& to, Shape::Strides& result) {
  int i = from.rank() - 1, j = to.rank() - 1;
  while (i >= 0 || j >= 0) {
    if (i >= 0 && from[i] == 1) {
      --i;
      continue;
    }
    if (j >= 0 && to[j] == 1) {
      result[static_cast<std::size_t>(j--)] = 1;
      continue;
    }
    std::int64_t step = strides[static_cast<std::size_t>(i)], have = from[i], want = to[j];
    result[static_cast<std::size_t>(j)] = step;
    while (have != want) {
      if (have < want) {
        --i;
        if (from[i] == 1) continue;
        if (strides[static_cast<std::size_t>(i)] != step * have) return false;
        have *= from[i];
      } else {
        --j;
        result[static_cast<std::size_t>(j)] = step * want;
        want *= to[j];
      }
    }
    --i, --j;
  }
  return true;
}

}  // namespace

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  std::size_t bytes = 0;
  check<ShapeError>(!__builtin_mul_overflow(static_cast<std::size_t>(shape.numel()), size_of(dtype), &bytes), "empty",
                    "expected a size below 2^64 bytes; got shape {} of {}", shape, dtype);
  Tensor t;
  t.storage_ = std::make_shared<Storage>(bytes, device);
  t.shape_ = shape;
  t.strides_ = shape.row_major_strides();
  t.dtype_ = dtype;
  return t;
}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device, const Layout& layout) {
  if (!layout.is_opaque()) return empty(shape, dtype, device);
  Tensor t;
  t.storage_ = std::make_shared<Storage>(layout.opaque()->buffer_elements() * size_of(dtype), device);
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.layout_ = layout;
  return t;
}

Tensor Tensor::empty_like(const Tensor& other) { return empty(other.shape_, other.dtype_, other.device(), other.layout_); }

Tensor Tensor::form_of(const Tensor& other) {
  Tensor t;
  t.storage_ = std::make_shared<Storage>(0, other.device());
  t.shape_ = other.shape_;
  if (!other.is_opaque()) t.strides_ = t.shape_.row_major_strides();
  t.dtype_ = other.dtype_;
  t.layout_ = other.layout_;
  return t;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) { return full(shape, 0, dtype, device); }
Tensor Tensor::ones(const Shape& shape, DType dtype, Device device) { return full(shape, 1, dtype, device); }

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  return t.fill_(value);
}

Tensor Tensor::zeros_like(const Tensor& other) {
  Tensor t = empty_like(other);
  return t.fill_(0);
}

Tensor Tensor::arange(std::int64_t n, DType dtype) {
  check<ShapeError>(n >= 0, "arange", "expected a count of at least 0; got {}", n);
  std::vector<std::int64_t> values(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) values[static_cast<std::size_t>(i)] = i;
  return from(values).astype(dtype);
}

Tensor Tensor::scalar(double value, DType dtype, Device device) { return full(Shape{}, value, dtype, device); }

template <class T>
Tensor Tensor::from(const std::vector<T>& values, const Shape& shape) {
  check<ShapeError>(static_cast<std::int64_t>(values.size()) == shape.numel(), "from",
                    "expected {} values for shape {}; got {}", shape.numel(), shape, values.size());
  Tensor t = empty(shape, dtype_of<T>);
  std::copy(values.begin(), values.end(), t.mutable_data<T>());
  return t;
}

Device Tensor::device() const { return storage_ ? storage_->device() : Device::cpu(); }

bool Tensor::is_contiguous() const { return !is_opaque() && dense_row_major(shape_, strides_); }

std::int64_t Tensor::buffer_elements() const {
  return is_opaque() ? static_cast<std::int64_t>(layout_.opaque()->buffer_elements()) : numel();
}

Tensor Tensor::contiguous() const {
  if (is_contiguous()) return *this;
  Backend& backend = is_opaque() ? layout_.opaque()->owner() : backend_for(*this);
  return backend.to_layout(*this, Layout{});
}

Tensor Tensor::clone() const {
  check(defined(), "clone", "expected a defined tensor; got an undefined one");
  if (!is_opaque()) return empty(shape_, dtype_, device()).copy_(*this);
  Tensor copy = empty_like(*this);
  layout_.opaque()->owner().copy(*this, copy);
  return copy;
}

Tensor Tensor::to(Device device) const {
  if (device == this->device()) return *this;
  return empty(shape_, dtype_, device).copy_(*this);
}

Tensor Tensor::astype(DType dtype) const {
  if (dtype == dtype_) return *this;
  const Tensor x = contiguous();
  return backend_for(x).cast(x, dtype);
}

Tensor Tensor::view(const Shape& shape, const Shape::Strides& strides, std::int64_t offset) const {
  Tensor t = *this;
  t.shape_ = shape;
  t.strides_ = strides;
  t.offset_ = offset;
  return t;
}

Tensor Tensor::reshape(std::span<const std::int64_t> extents) const {
  std::vector<std::int64_t> known(extents.begin(), extents.end());
  const auto open = std::find(known.begin(), known.end(), -1);
  if (open != known.end()) {
    *open = 1;
    const std::int64_t rest = Shape(std::span<const std::int64_t>(known)).numel();
    check<ShapeError>(rest > 0 && numel() % rest == 0, "reshape",
                      "expected -1 to stand for a whole number; got shape {} into ({})", shape_, fmt::join(extents, ", "));
    *open = numel() / rest;
  }
  return reshape(Shape(std::span<const std::int64_t>(known)));
}

Tensor Tensor::reshape(const Shape& shape) const {
  check<ShapeError>(shape.numel() == numel(), "reshape", "expected {} elements, as in {}; got {}", numel(), shape_, shape);
  if (shape == shape_) return *this;
  const Tensor x = is_opaque() ? contiguous() : *this;
  Shape::Strides strides{};
  if (numel() == 0) return x.view(shape, shape.row_major_strides(), x.offset_);
  if (reshape_strides(x.shape_, x.strides_, shape, strides)) return x.view(shape, strides, x.offset_);
  const Tensor dense = x.contiguous();
  return dense.view(shape, shape.row_major_strides(), dense.offset_);
}

Tensor Tensor::flatten(int first_axis) const {
  const int axis = rank() == 0 ? 0 : shape_.axis(first_axis, "flatten");
  std::vector<std::int64_t> extents(shape_.begin(), shape_.begin() + axis);
  extents.push_back(shape_.product(axis, rank()));
  return reshape(Shape(std::span<const std::int64_t>(extents)));
}

Tensor Tensor::slice(int axis, std::int64_t begin, std::int64_t end, std::int64_t step) const {
  axis = shape_.axis(axis, "slice");
  check<ShapeError>(step >= 1, "slice", "expected a step of at least 1; got {}", step);
  const Tensor x = is_opaque() ? contiguous() : *this;
  const std::int64_t n = shape_[axis];
  const auto clamp = [n](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + n : i, 0, n); };
  begin = clamp(begin), end = std::max(clamp(end), begin);
  Shape::Strides strides = x.strides_;
  const std::int64_t offset = x.offset_ + begin * strides[static_cast<std::size_t>(axis)];
  strides[static_cast<std::size_t>(axis)] *= step;
  return x.view(shape_.with(axis, (end - begin + step - 1) / step), strides, offset);
}

Tensor Tensor::select(int axis, std::int64_t index) const {
  axis = shape_.axis(axis, "select");
  const std::int64_t n = shape_[axis];
  check<ShapeError>(index >= -n && index < n, "select", "expected an index in [{}, {}) of axis {} of {}; got {}", -n, n, axis,
                    shape_, index);
  if (index < 0) index += n;
  return slice(axis, index, index + 1).squeeze(axis);
}

Tensor Tensor::permute(const std::vector<int>& axes) const {
  check<ShapeError>(static_cast<int>(axes.size()) == rank(), "permute", "expected {} axes for shape {}; got {}", rank(), shape_,
                    axes.size());
  const Tensor x = is_opaque() ? contiguous() : *this;
  std::array<std::int64_t, Shape::kMaxRank> extents{};
  Shape::Strides strides{};
  std::array<bool, Shape::kMaxRank> seen{};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto from = static_cast<std::size_t>(shape_.axis(axes[i], "permute"));
    check<ShapeError>(!seen[from], "permute", "expected each axis once; got axis {} twice", axes[i]);
    seen[from] = true;
    extents[i] = shape_[static_cast<int>(from)];
    strides[i] = x.strides_[from];
  }
  return x.view(Shape(std::span<const std::int64_t>(extents.data(), axes.size())), strides, x.offset_);
}

Tensor Tensor::transpose(int axis_a, int axis_b) const {
  std::vector<int> axes(static_cast<std::size_t>(rank()));
  for (int i = 0; i < rank(); ++i) axes[static_cast<std::size_t>(i)] = i;
  std::swap(axes[static_cast<std::size_t>(shape_.axis(axis_a, "transpose"))],
            axes[static_cast<std::size_t>(shape_.axis(axis_b, "transpose"))]);
  return permute(axes);
}

Tensor Tensor::unsqueeze(int axis) const {
  check<ShapeError>(axis >= -rank() - 1 && axis <= rank(), "unsqueeze", "expected an axis in [{}, {}]; got {}", -rank() - 1,
                    rank(), axis);
  return reshape(shape_.inserted(axis < 0 ? axis + rank() + 1 : axis, 1));
}

Tensor Tensor::squeeze(int axis) const {
  axis = shape_.axis(axis, "squeeze");
  check<ShapeError>(shape_[axis] == 1, "squeeze", "expected extent 1 at axis {}; got shape {}", axis, shape_);
  return reshape(shape_.without(axis));
}

Tensor Tensor::expand(const Shape& shape) const {
  check<ShapeError>(shape.rank() >= rank() && broadcast(shape_, shape, "expand") == shape, "expand",
                    "expected a shape that {} broadcasts to; got {}", shape_, shape);
  const Tensor x = is_opaque() ? contiguous() : *this;
  Shape::Strides strides{};
  const int added = shape.rank() - rank();
  for (int i = 0; i < rank(); ++i)
    strides[static_cast<std::size_t>(i + added)] = shape_[i] == 1 ? 0 : x.strides_[static_cast<std::size_t>(i)];
  return x.view(shape, strides, x.offset_);
}

template <class T>
const T* Tensor::data() const {
  check<DTypeError>(defined() && dtype_ == dtype_of<T>, "data", "expected a tensor of {}; got {}", dtype_of<T>,
                    defined() ? name(dtype_) : "an undefined tensor");
  check<DeviceError>(device().is_cpu(), "data", "expected a tensor on the cpu; got one on {} (copy it with to())", device());
  check<ShapeError>(!is_opaque(), "data", "expected row-major order; got layout {} (use contiguous())", layout_.str());
  return static_cast<const T*>(raw());
}

template <class T>
T* Tensor::mutable_data() {
  const T* pointer = data<T>();
  storage_->bump_version();
  return const_cast<T*>(pointer);
}

const void* Tensor::raw() const {
  check(defined(), "raw", "expected a defined tensor; got an undefined one");
  check<ShapeError>(storage_->bytes() > 0 || numel() == 0, "raw", "expected values; got the form {} of a tensor alone", shape_);
  return static_cast<const char*>(storage_->data()) + static_cast<std::size_t>(offset_) * size_of(dtype_);
}

void* Tensor::mutable_raw() {
  void* pointer = const_cast<void*>(raw());
  storage_->bump_version();
  return pointer;
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  check(defined(), "to_vector", "expected a defined tensor; got an undefined one");
  const Tensor x = contiguous().to(Device::cpu()).astype(dtype_of<T>);
  return std::vector<T>(x.data<T>(), x.data<T>() + numel());
}

template <class T>
T Tensor::item() const {
  check<ShapeError>(defined() && numel() == 1, "item", "expected one element; got {}",
                    defined() ? shape_.str() : "an undefined tensor");
  return *contiguous().to(Device::cpu()).astype(dtype_of<T>).template data<T>();
}

Tensor& Tensor::fill_(double value) {
  check(defined(), "fill_", "expected a defined tensor; got an undefined one");
  backend_for(*this).fill(*this, value);
  return *this;
}

Tensor& Tensor::copy_(const Tensor& source) {
  check(defined() && source.defined(), "copy_", "expected two defined tensors; got an undefined one");
  check<ShapeError>(source.shape() == shape_, "copy_", "expected a source of shape {}; got {}", shape_, source.shape());
  if (is_opaque()) {
    Backend& owner = layout_.opaque()->owner();
    owner.copy(owner.to_layout(source.contiguous().astype(dtype_).to(device()), layout_), *this);
    return *this;
  }
  const Tensor from = source.is_opaque() ? source.contiguous() : source;
  // Only a GPU's backend knows how to cross between devices.
  Backend& backend = source.device().is_cuda() ? backend_for(source) : backend_for(*this);
  backend.copy(from, *this);
  return *this;
}

std::uint64_t Tensor::version() const { return storage_ ? storage_->version() : 0; }

#define HEFT_INSTANTIATE(T)                                             \
  template Tensor Tensor::from<T>(const std::vector<T>&, const Shape&); \
  template const T* Tensor::data<T>() const;                            \
  template T* Tensor::mutable_data<T>();                                \
  template T Tensor::item<T>() const;
HEFT_INSTANTIATE(float)
HEFT_INSTANTIATE(double)
HEFT_INSTANTIATE(std::int32_t)
HEFT_INSTANTIATE(std::int64_t)
HEFT_INSTANTIATE(std::uint8_t)
HEFT_INSTANTIATE(bool)
#undef HEFT_INSTANTIATE
template std::vector<float> Tensor::to_vector<float>() const;
template std::vector<double> Tensor::to_vector<double>() const;
template std::vector<std::int32_t> Tensor::to_vector<std::int32_t>() const;
template std::vector<std::int64_t> Tensor::to_vector<std::int64_t>() const;
template std::vector<std::uint8_t> Tensor::to_vector<std::uint8_t>() const;
template std::vector<bool> Tensor::to_vector<bool>() const;

}  // namespace heft
