#include "core/host/host_backend.h"
#include "core/host/strided_loop.h"
#include "core/ops.h"

namespace heft {
namespace {

template <class T>
using Forward = void (*)(const Params&, const T*, T*, std::int64_t);
template <class T>
using Backward = void (*)(const Params&, const T*, const T*, const T*, T*, std::int64_t);

template <class F, class T>
void forward(const Params& params, const T* x, T* y, std::int64_t n) {
  const F f = unpack<F>(params);
  parallel_for(n, kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = f.forward(x[i]);
  });
}

template <class F, class T>
void backward(const Params& params, const T* x, const T* y, const T* dy, T* dx, std::int64_t n) {
  const F f = unpack<F>(params);
  parallel_for(n, kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) dx[i] = f.backward(x[i], y[i], dy[i]);
  });
}

template <class T, class... Fs>
constexpr std::array<Forward<T>, sizeof...(Fs)> forward_table(fn::List<Fs...>) {
  return {forward<Fs, T>...};
}
template <class T, class... Fs>
constexpr std::array<Backward<T>, sizeof...(Fs)> backward_table(fn::List<Fs...>) {
  return {backward<Fs, T>...};
}

}  // namespace

Tensor HostBackend::unary(int op, Params params, const Tensor& x) {
  Tensor y = Tensor::empty_like(x);
  dispatch_float("unary", x.dtype(), [&]<class T>() {
    static constexpr auto table = forward_table<T>(fn::Unary{});
    table[static_cast<std::size_t>(op)](params, static_cast<const T*>(x.raw()), static_cast<T*>(y.mutable_raw()),
                                        x.buffer_elements());
  });
  return y;
}

Tensor HostBackend::unary_backward(int op, Params params, const Tensor& x, const Tensor& y, const Tensor& dy) {
  Tensor dx = Tensor::empty_like(x);
  dispatch_float("unary", x.dtype(), [&]<class T>() {
    static constexpr auto table = backward_table<T>(fn::Unary{});
    table[static_cast<std::size_t>(op)](params, static_cast<const T*>(x.raw()), static_cast<const T*>(y.raw()),
                                        static_cast<const T*>(dy.raw()), static_cast<T*>(dx.mutable_raw()),
                                        x.buffer_elements());
  });
  return dx;
}

}  // namespace heft
