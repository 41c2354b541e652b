// Compiled oneDNN primitives: a bounded cache of them, and how one is run on tensors. Internal to core/cpu.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "core/cpu/layout.h"
#include "core/tensor.h"

namespace heft::onednn {

// What a primitive reads or writes under one of its DNNL_ARG_ numbers.
struct Port {
  int arg = 0;
  Desc desc;
  Layout layout;
};

// Has no state of its own (scratchpads are the caller's), so that threads may run it at once.
class Primitive {
 public:
  // `args`: every DNNL_ARG_ that the primitive is run with.
  Primitive(const dnnl::primitive_desc_base& desc, std::initializer_list<int> args);

  const Port& port(int arg) const;
  const dnnl::primitive& get() const { return primitive_; }
  const Desc& scratchpad() const { return scratchpad_; }
  std::size_t scratchpad_bytes() const { return scratchpad_bytes_; }

 private:
  dnnl::primitive primitive_;
  std::vector<Port> ports_;
  Desc scratchpad_;
  std::size_t scratchpad_bytes_;
};

// clang-format off
enum class Kind : std::uint8_t {
  reorder, conv, conv_input, conv_weight, max_pool, max_pool_input, mean_pool, mean_pool_input,
  norm_train, norm_eval, norm_backward, matmul, softmax, softmax_backward,
};
// clang-format on

// Everything a primitive depends on, as numbers. The thread count is one of them: oneDNN divides the work when it compiles.
class Key {
 public:
  explicit Key(Kind kind);
  Key& operator<<(std::int64_t word);
  Key& operator<<(const Shape& shape);
  Key& operator<<(const std::array<std::int64_t, 2>& pair) { return *this << pair[0] << pair[1]; }
  // Shape and layout.
  Key& operator<<(const Tensor& x) { return *this << x.shape() << layout_id(x.layout()); }

  std::size_t hash() const;
  friend bool operator==(const Key& a, const Key& b);

 private:
  std::array<std::int64_t, 28> words_{};
  std::size_t count_ = 0;
};

using PrimitivePtr = std::shared_ptr<const Primitive>;

// The cache: the least recently used primitive goes when it is full. Thread-safe.
PrimitivePtr find_primitive(const Key& key);
PrimitivePtr keep_primitive(const Key& key, PrimitivePtr made);
[[noreturn]] void refuse(const char* op, const dnnl::error& error);

// The cached primitive, or what `make` returns. `op` is named when oneDNN refuses.
template <class Make>
PrimitivePtr cached(const char* op, const Key& key, const Make& make) {
  if (PrimitivePtr found = find_primitive(key)) return found;
  try {
    return keep_primitive(key, std::make_shared<const Primitive>(make()));
  } catch (const dnnl::error& error) {
    refuse(op, error);
  }
}

// One run of a primitive. Inputs must outlive run().
class Call {
 public:
  explicit Call(PrimitivePtr primitive) : primitive_(std::move(primitive)) {}

  // Reorders x where the primitive wants another layout.
  Call& in(int arg, const Tensor& x);
  // x's bytes are what the primitive's description of them says: transposed matrices, workspaces.
  Call& in_as_described(int arg, const Tensor& x);
  // A fresh tensor in the layout the primitive writes; of the given shape where it differs from oneDNN's (grouped weights).
  Tensor out(int arg);
  Tensor out(int arg, const Shape& shape);
  // Fresh bytes, for workspaces.
  Tensor out_bytes(int arg);
  void run();

 private:
  void bind(const Port& port, const void* data);

  static constexpr std::size_t kMaxArgs = 10;
  PrimitivePtr primitive_;
  std::array<dnnl::memory, kMaxArgs> memory_;
  std::array<dnnl_exec_arg_t, kMaxArgs> args_{};
  std::size_t count_ = 0;
  std::vector<Tensor> reordered_;
};

// A copy of x in another layout. x is dense when not opaque.
Tensor reorder(const Tensor& x, const Layout& layout);

// What this backend computes itself; the reference backend gets the rest.
inline bool ours(const Tensor& x) { return x.dtype() == DType::f32 && x.numel() > 0; }

}  // namespace heft::onednn
