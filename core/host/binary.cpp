#include "core/host/host_backend.h"
#include "core/host/strided_loop.h"

namespace heft {
namespace {

// c[i] = f(a[i], b[i]) along a row; the usual steps get loops the compiler can vectorise, but for whole numbers: labels and
// counts are few, and the loops would be 100 KB.
template <class F, class A, class C>
void row_loop(F f, const A* a, std::int64_t da, const A* b, std::int64_t db, C* c, std::int64_t n) {
  if constexpr (std::is_floating_point_v<A>) {
    if (da == 1 && db == 1) {
      for (std::int64_t i = 0; i < n; ++i) c[i] = f(a[i], b[i]);
      return;
    }
    if (da == 1 && db == 0) {
      for (std::int64_t i = 0; i < n; ++i) c[i] = f(a[i], *b);
      return;
    }
    if (da == 0 && db == 1) {
      for (std::int64_t i = 0; i < n; ++i) c[i] = f(*a, b[i]);
      return;
    }
  }
  for (std::int64_t i = 0; i < n; ++i) c[i] = f(a[i * da], b[i * db]);
}

// The result is dense in `y`'s own order, which is the operands' when they are opaque.
template <class F, class A, class C>
void apply(F f, const Tensor& a, const Tensor& b, Tensor& y) {
  const A* pa = static_cast<const A*>(a.raw());
  const A* pb = static_cast<const A*>(b.raw());
  C* py = static_cast<C*>(y.mutable_raw());
  for_each_row<3>(loop_shape(y), {loop_strides(a, y), loop_strides(b, y), loop_strides(y, y)},
                  [&](const auto& at, std::int64_t n, const auto& steps) {
                    row_loop(f, pa + at[0], steps[0], pb + at[1], steps[1], py + at[2], n);
                  });
}

Tensor result_like(const Tensor& a, const Tensor& b, DType dtype) {
  return a.is_opaque() ? Tensor::empty(a.shape(), dtype, a.device(), a.layout())
                       : Tensor::empty(broadcast(a.shape(), b.shape(), "binary"), dtype, a.device());
}

using BinaryKernel = void (*)(const Tensor&, const Tensor&, Tensor&);

template <class F, class A, class C>
void kernel(const Tensor& a, const Tensor& b, Tensor& y) {
  apply<F, A, C>(F{}, a, b, y);
}

// Gives a functor's forward the call operator.
template <class F>
struct Call {
  template <class T>
  auto operator()(T a, T b) const {
    return F{}.forward(a, b);
  }
};

template <class T, class... Fs>
constexpr std::array<BinaryKernel, sizeof...(Fs)> binary_table(fn::List<Fs...>) {
  return {kernel<Call<Fs>, T, T>...};
}

template <class T, class... Fs>
constexpr std::array<BinaryKernel, sizeof...(Fs)> compare_table(fn::List<Fs...>) {
  return {kernel<Call<Fs>, T, bool>...};
}

using BackwardKernel = void (*)(int, const Tensor&, const Tensor&, const Tensor&, const Tensor&, Tensor&);

template <class F, class T>
void backward_kernel(int which, const Tensor& a, const Tensor& b, const Tensor& y, const Tensor& dy, Tensor& dx) {
  const T* pa = static_cast<const T*>(a.raw());
  const T* pb = static_cast<const T*>(b.raw());
  const T* py = static_cast<const T*>(y.raw());
  const T* pdy = static_cast<const T*>(dy.raw());
  T* pdx = static_cast<T*>(dx.mutable_raw());
  const auto row = [=](const std::array<std::int64_t, 5>& at, std::int64_t n, const std::array<std::int64_t, 5>& d) {
    for (std::int64_t i = 0; i < n; ++i) {
      const T va = pa[at[0] + i * d[0]], vb = pb[at[1] + i * d[1]], vy = py[at[2] + i * d[2]], vdy = pdy[at[3] + i * d[3]];
      pdx[at[4] + i * d[4]] = which == 0 ? F{}.backward_a(va, vb, vy, vdy) : F{}.backward_b(va, vb, vy, vdy);
    }
  };
  for_each_row<5>(loop_shape(y),
                  {loop_strides(a, y), loop_strides(b, y), loop_strides(y, y), loop_strides(dy, y), loop_strides(dx, y)}, row);
}

template <class T, class... Fs>
constexpr std::array<BackwardKernel, sizeof...(Fs)> backward_table(fn::List<Fs...>) {
  return {backward_kernel<Fs, T>...};
}

}  // namespace

Tensor HostBackend::binary(int op, const Tensor& a, const Tensor& b) {
  Tensor y = result_like(a, b, a.dtype());
  dispatch_number("binary", a.dtype(), [&]<class T>() {
    static constexpr auto table = binary_table<T>(fn::Binary{});
    table[static_cast<std::size_t>(op)](a, b, y);
  });
  return y;
}

Tensor HostBackend::binary_backward(int op, int which, const Tensor& a, const Tensor& b, const Tensor& y, const Tensor& dy) {
  Tensor dx = Tensor::empty_like(y);
  dispatch_float("binary", a.dtype(), [&]<class T>() {
    static constexpr auto table = backward_table<T>(fn::Binary{});
    table[static_cast<std::size_t>(op)](which, a, b, y, dy, dx);
  });
  return dx;
}

Tensor HostBackend::compare(int op, const Tensor& a, const Tensor& b) {
  Tensor y = result_like(a, b, DType::boolean);
  dispatch_all(a.dtype(), [&]<class T>() {
    static constexpr auto table = compare_table<T>(fn::Compare{});
    table[static_cast<std::size_t>(op)](a, b, y);
  });
  return y;
}

Tensor HostBackend::where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  const Shape shape = broadcast(condition.shape(), broadcast(a.shape(), b.shape(), "where"), "where");
  Tensor y = Tensor::empty(shape, a.dtype(), a.device());
  const bool* pc = condition.data<bool>();
  dispatch_all(a.dtype(), [&]<class T>() {
    const T* pa = a.data<T>();
    const T* pb = b.data<T>();
    T* py = y.mutable_data<T>();
    for_each_row<4>(
        shape, {broadcast_strides(condition, shape), broadcast_strides(a, shape), broadcast_strides(b, shape), y.strides()},
        [&](const auto& at, std::int64_t n, const auto& d) {
          for (std::int64_t i = 0; i < n; ++i)
            py[at[3] + i * d[3]] = pc[at[0] + i * d[0]] ? pa[at[1] + i * d[1]] : pb[at[2] + i * d[2]];
        });
  });
  return y;
}

}  // namespace heft
