#include "core/cpu/primitive.h"

#include <algorithm>
#include <atomic>
#include <list>
#include <mutex>
#include <unordered_map>

#include "core/check.h"
#include "core/cpu/cpu_backend.h"
#include "core/parallel.h"

namespace heft::onednn {
namespace {

std::atomic<std::uint64_t> primitives_created{0};
std::atomic<std::uint64_t> reorders{0};

class Cache {
 public:
  // Never destroyed: a static tensor's last operation may come after ordinary statics are gone.
  static Cache& get() {
    static auto& cache = *new Cache;
    return cache;
  }
  Cache() { set_capacity(capacity_); }

  PrimitivePtr find(const Key& key) {
    const std::lock_guard lock(mutex_);
    const auto found = index_.find(key);
    if (found == index_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->second;
  }

  // Another thread may have made the same meanwhile: the first one stays.
  PrimitivePtr keep(const Key& key, PrimitivePtr made) {
    const std::lock_guard lock(mutex_);
    const auto [place, is_new] = index_.try_emplace(key);
    if (!is_new) return place->second->second;
    entries_.emplace_front(key, std::move(made));
    place->second = entries_.begin();
    PrimitivePtr kept = entries_.front().second;
    trim();
    return kept;
  }

  void set_capacity(std::size_t capacity) {
    const std::lock_guard lock(mutex_);
    capacity_ = capacity;
    trim();
    dnnl::set_primitive_cache_capacity(static_cast<int>(std::min<std::size_t>(capacity, 1 << 20)));
  }
  std::size_t capacity() const {
    const std::lock_guard lock(mutex_);
    return capacity_;
  }
  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return index_.size();
  }

 private:
  void trim() {
    while (index_.size() > capacity_) {
      index_.erase(entries_.back().first);
      entries_.pop_back();
    }
  }

  using Entry = std::pair<Key, PrimitivePtr>;
  struct Hash {
    std::size_t operator()(const Key& key) const { return key.hash(); }
  };
  mutable std::mutex mutex_;
  std::size_t capacity_ = 256;
  std::list<Entry> entries_;  // the most recently used first
  std::unordered_map<Key, std::list<Entry>::iterator, Hash> index_;
};

}  // namespace

Primitive::Primitive(const dnnl::primitive_desc_base& desc, std::initializer_list<int> args)
    : primitive_(desc.get()), scratchpad_(desc.scratchpad_desc()), scratchpad_bytes_(scratchpad_.get_size()) {
  ports_.reserve(args.size());
  for (const int arg : args) {
    const Desc port = desc.query_md(dnnl::query::exec_arg_md, arg);
    ports_.push_back({arg, port, layout_of(port)});
  }
}

const Port& Primitive::port(int arg) const {
  return *std::find_if(ports_.begin(), ports_.end(), [arg](const Port& port) { return port.arg == arg; });
}

Key::Key(Kind kind) { *this << static_cast<std::int64_t>(kind) << num_threads(); }

Key& Key::operator<<(std::int64_t word) {
  check(count_ < words_.size(), "onednn", "expected a primitive's key of at most {} words", words_.size());
  words_[count_++] = word;
  return *this;
}

Key& Key::operator<<(const Shape& shape) {
  *this << shape.rank();
  for (const std::int64_t extent : shape) *this << extent;
  return *this;
}

std::size_t Key::hash() const {
  std::uint64_t h = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    h = (h ^ static_cast<std::uint64_t>(words_[i])) * 0x9E3779B97F4A7C15u;
    h ^= h >> 32;
  }
  return static_cast<std::size_t>(h);
}

bool operator==(const Key& a, const Key& b) {
  return a.count_ == b.count_ &&
         std::equal(a.words_.begin(), a.words_.begin() + static_cast<std::ptrdiff_t>(a.count_), b.words_.begin());
}

PrimitivePtr find_primitive(const Key& key) { return Cache::get().find(key); }

PrimitivePtr keep_primitive(const Key& key, PrimitivePtr made) {
  ++primitives_created;
  return Cache::get().keep(key, std::move(made));
}

void refuse(const char* op, const dnnl::error& error) {
  fail(op, "expected a geometry that oneDNN {}.{} computes; it answers: {}", DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR,
       error.what());
}

Counters counters() { return {primitives_created, reorders}; }

void set_primitive_cache_capacity(std::size_t capacity) {
  check(capacity >= 1, "set_primitive_cache_capacity", "expected room for at least 1 primitive; got {}", capacity);
  Cache::get().set_capacity(capacity);
}
std::size_t primitive_cache_capacity() { return Cache::get().capacity(); }
std::size_t primitive_cache_size() { return Cache::get().size(); }

void Call::bind(const Port& port, const void* data) {
  memory_[count_] = dnnl::memory(port.desc, engine(), const_cast<void*>(data));
  args_[count_] = {port.arg, memory_[count_].get()};
  ++count_;
}

Call& Call::in(int arg, const Tensor& x) {
  const Port& port = primitive_->port(arg);
  if (x.layout() == port.layout) {
    bind(port, x.raw());
  } else {
    reordered_.push_back(reorder(x, port.layout));
    bind(port, reordered_.back().raw());
  }
  return *this;
}

Call& Call::in_as_described(int arg, const Tensor& x) {
  bind(primitive_->port(arg), x.raw());
  return *this;
}

Tensor Call::out(int arg) { return out(arg, shape_of(primitive_->port(arg).desc)); }

Tensor Call::out(int arg, const Shape& shape) {
  const Port& port = primitive_->port(arg);
  Tensor y = Tensor::empty(shape, DType::f32, Device::cpu(), port.layout);
  bind(port, y.mutable_raw());
  return y;
}

Tensor Call::out_bytes(int arg) {
  const Port& port = primitive_->port(arg);
  Tensor bytes = Tensor::empty(Shape{static_cast<std::int64_t>(port.desc.get_size())}, DType::u8);
  bind(port, bytes.mutable_raw());
  return bytes;
}

void Call::run() {
  Tensor scratchpad;
  if (primitive_->scratchpad_bytes() > 0) {
    scratchpad = Tensor::empty(Shape{static_cast<std::int64_t>(primitive_->scratchpad_bytes())}, DType::u8);
    bind({DNNL_ARG_SCRATCHPAD, primitive_->scratchpad(), {}}, scratchpad.mutable_raw());
  }
  dnnl::error::wrap_c_api(
      dnnl_primitive_execute(primitive_->get().get(), stream().get(), static_cast<int>(count_), args_.data()),
      "could not execute a primitive");
  dnnl::error::wrap_c_api(dnnl_stream_wait(stream().get()), "could not wait for a primitive");
}

Tensor reorder(const Tensor& x, const Layout& layout) {
  // Row-major bytes are the same whatever the axes are grouped into: of grouped weights the opaque side knows the axes.
  if (x.is_opaque() && layout.is_opaque() && dims_of(desc_of(x.layout())) != dims_of(desc_of(layout)))
    return reorder(reorder(x, Layout{}), layout);
  const Dims dims = dims_of(desc_of(x.is_opaque() ? x.layout() : layout));
  const auto primitive = cached("to_layout", Key(Kind::reorder) << layout_id(x.layout()) << layout_id(layout), [&] {
    const Desc from = x.is_opaque() ? desc_of(x.layout()) : row_major(dims);
    const Desc to = layout.is_opaque() ? desc_of(layout) : row_major(dims);
    return Primitive(dnnl::reorder::primitive_desc(engine(), from, engine(), to, user_scratchpad()),
                     {DNNL_ARG_FROM, DNNL_ARG_TO});
  });
  ++reorders;
  Call call(primitive);
  Tensor y = call.in(DNNL_ARG_FROM, x).out(DNNL_ARG_TO, x.shape());
  call.run();
  return y;
}

}  // namespace heft::onednn

namespace heft {

Backend& onednn_backend() {
  static auto& backend = *new CpuBackend;
  return backend;
}

Tensor CpuBackend::to_layout(const Tensor& x, const Layout& layout) {
  if (!x.is_opaque() && !x.is_contiguous()) {
    Tensor dense = Tensor::empty(x.shape(), x.dtype());
    copy(x, dense);
    return to_layout(dense, layout);
  }
  if (x.layout() == layout) return x;
  check<DTypeError>(x.dtype() == DType::f32, "to_layout", "expected f32 for layout {}; got {}", layout.str(), x.dtype());
  return onednn::reorder(x, layout);
}

}  // namespace heft
