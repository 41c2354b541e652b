#include <cstring>

#include "core/check.h"
#include "core/convert.h"
#include "core/host/host_backend.h"
#include "core/host/strided_loop.h"

namespace heft {
namespace {

template <class From, class To>
void copy_loop(const Tensor& source, Tensor& target) {
  const From* from = source.data<From>();
  To* to = target.mutable_data<To>();
  for_each_row<2>(target.shape(), {broadcast_strides(source, target.shape()), target.strides()},
                  [=](const auto& at, std::int64_t n, const auto& d) {
                    const From* f = from + at[0];
                    To* t = to + at[1];
                    if (d[0] == 1 && d[1] == 1) {
                      if constexpr (std::is_same_v<From, To>) {
                        std::memcpy(t, f, static_cast<std::size_t>(n) * sizeof(To));
                      } else {
                        for (std::int64_t i = 0; i < n; ++i) t[i] = convert<From, To>(f[i]);
                      }
                    } else {
                      for (std::int64_t i = 0; i < n; ++i) t[i * d[1]] = convert<From, To>(f[i * d[0]]);
                    }
                  });
}

}  // namespace

void HostBackend::fill(Tensor& x, double value) {
  if (x.is_opaque()) {  // padding must stay zero
    check(value == 0, "fill_", "expected the value 0 for layout {}; got {}", x.layout().str(), value);
    std::memset(x.mutable_raw(), 0, static_cast<std::size_t>(x.buffer_elements()) * size_of(x.dtype()));
    return;
  }
  dispatch_all(x.dtype(), [&]<class T>() {
    T* p = x.mutable_data<T>();
    const T v = convert<double, T>(value);
    for_each_row<1>(x.shape(), {x.strides()}, [=](const auto& at, std::int64_t n, const auto& d) {
      for (std::int64_t i = 0; i < n; ++i) p[at[0] + i * d[0]] = v;
    });
  });
}

void HostBackend::copy(const Tensor& source, Tensor& target) {
  if (target.is_opaque()) {
    std::memcpy(target.mutable_raw(), source.raw(),
                static_cast<std::size_t>(target.buffer_elements()) * size_of(target.dtype()));
    return;
  }
  dispatch_all(source.dtype(),
               [&]<class From>() { dispatch_all(target.dtype(), [&]<class To>() { copy_loop<From, To>(source, target); }); });
}

Tensor HostBackend::cast(const Tensor& x, DType dtype) {
  Tensor y = Tensor::empty(x.shape(), dtype);
  copy(x, y);
  return y;
}

}  // namespace heft
