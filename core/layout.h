// Memory layout of a tensor. Row-major with strides unless a backend chose an order of its own.
// An opaque layout (a blocked oneDNN format, channels-last on a GPU) is understood by the backend that made it and by
// nobody else: everyone else calls Tensor::contiguous(). The logical shape is always that of the row-major tensor.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace heft {

class Backend;

// What a backend stores with a tensor it has laid out itself.
class OpaqueLayout {
 public:
  virtual ~OpaqueLayout() = default;
  virtual Backend& owner() const = 0;
  virtual bool equals(const OpaqueLayout& other) const = 0;
  // Elements of the tensor's dtype in the buffer: more than the shape's numel() when the format pads, with zeros, and fewer
  // when it keeps values in fewer bits (is_compact, core/tensor.h).
  virtual std::size_t buffer_elements() const = 0;
  // For messages and profiles only, e.g. "blocked 16c".
  virtual std::string str() const = 0;
};

class Layout {
 public:
  Layout() = default;  // row-major
  explicit Layout(std::shared_ptr<const OpaqueLayout> opaque) : opaque_(std::move(opaque)) {}

  bool is_opaque() const { return opaque_ != nullptr; }
  const OpaqueLayout* opaque() const { return opaque_.get(); }
  std::string str() const { return opaque_ ? opaque_->str() : "row-major"; }
  friend bool operator==(const Layout& a, const Layout& b) {
    if (a.opaque_ == b.opaque_) return true;
    return a.opaque_ && b.opaque_ && a.opaque_->equals(*b.opaque_);
  }

 private:
  std::shared_ptr<const OpaqueLayout> opaque_;
};

}  // namespace heft
