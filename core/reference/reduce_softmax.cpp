#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"
#include "core/reference/loops.h"
#include "core/reference/reference_backend.h"

namespace heft {
namespace {

// A NaN is greater and less than everything.
struct Sum {
  template <class A>
  static A join(A a, A v) {
    return a + v;
  }
};
struct Max {
  template <class A>
  static A join(A a, A v) {
    return v > a || v != v ? v : a;
  }
};
struct Min {
  template <class A>
  static A join(A a, A v) {
    return v < a || v != v ? v : a;
  }
};

template <class Op, class T>
void reduce_loop(const Tensor& x, Tensor& y) {
  using Accumulator = std::conditional_t<std::is_floating_point_v<T>, double, std::int64_t>;
  const std::int64_t n = x.size(1), inner = x.size(2);
  const T* from = x.data<T>();
  T* to = y.mutable_data<T>();
  parallel_for(x.size(0), reference::grain(n * inner), [=](std::int64_t begin, std::int64_t end) {
    std::vector<Accumulator> row(static_cast<std::size_t>(inner));
    for (std::int64_t o = begin; o < end; ++o) {
      const T* in = from + o * n * inner;
      for (std::int64_t i = 0; i < inner; ++i) row[i] = n > 0 ? static_cast<Accumulator>(in[i]) : Accumulator(0);
      for (std::int64_t k = 1; k < n; ++k)
        for (std::int64_t i = 0; i < inner; ++i) row[i] = Op::join(row[i], static_cast<Accumulator>(in[k * inner + i]));
      for (std::int64_t i = 0; i < inner; ++i) to[o * inner + i] = static_cast<T>(row[i]);
    }
  });
}

// Calls f(first, step) for each of the vectors of length n along the middle axis.
template <class F>
void for_each_vector(const Shape& x, F f) {
  const std::int64_t n = x[1], inner = x[2];
  parallel_for(x[0] * inner, reference::grain(8 * n), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t v = begin; v < end; ++v) f(v / inner * n * inner + v % inner, inner);
  });
}

}  // namespace

Tensor ReferenceBackend::reduce(Reduction op, const Tensor& x) {
  const char* names[] = {"sum", "max", "min"};
  const char* name = names[static_cast<int>(op)];
  check(op == Reduction::sum || x.size(1) > 0, name, "expected at least one element along the axis; got shape {}", x.shape());
  const Tensor input = plain(x);
  Tensor y = Tensor::empty(Shape{x.size(0), x.size(2)}, x.dtype());
  dispatch_number(name, x.dtype(), [&]<class T>() {
    switch (op) {
      case Reduction::sum: return reduce_loop<Sum, T>(input, y);
      case Reduction::max: return reduce_loop<Max, T>(input, y);
      case Reduction::min: return reduce_loop<Min, T>(input, y);
    }
  });
  return y;
}

Tensor ReferenceBackend::softmax(const Tensor& x, bool log) {
  const Tensor input = plain(x);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_float(log ? "log_softmax" : "softmax", x.dtype(), [&]<class T>() {
    const std::int64_t n = x.size(1);
    const T* from = input.data<T>();
    T* to = y.mutable_data<T>();
    for_each_vector(x.shape(), [=](std::int64_t first, std::int64_t step) {
      const T *in = from + first, *last = in + n * step;
      double top = -std::numeric_limits<double>::infinity(), total = 0;
      for (const T* v = in; v != last; v += step) top = Max::join(top, static_cast<double>(*v));
      for (const T* v = in; v != last; v += step) total += std::exp(static_cast<double>(*v) - top);
      for (std::int64_t k = 0; k < n; ++k) {
        const double shifted = static_cast<double>(in[k * step]) - top;
        to[first + k * step] = static_cast<T>(log ? shifted - std::log(total) : std::exp(shifted) / total);
      }
    });
  });
  return y;
}

Tensor ReferenceBackend::softmax_backward(const Tensor& y, const Tensor& dy, bool log) {
  const Tensor output = plain(y), gradient = plain(dy);
  Tensor dx = Tensor::empty(y.shape(), y.dtype());
  dispatch_float(log ? "log_softmax" : "softmax", y.dtype(), [&]<class T>() {
    const std::int64_t n = y.size(1);
    const T *py = output.data<T>(), *pdy = gradient.data<T>();
    T* pdx = dx.mutable_data<T>();
    for_each_vector(y.shape(), [=](std::int64_t first, std::int64_t step) {
      double sum = 0;  // of dy, weighted with the softmax unless the output is its logarithm
      for (std::int64_t i = first; i < first + n * step; i += step)
        sum += static_cast<double>(pdy[i]) * (log ? 1.0 : static_cast<double>(py[i]));
      for (std::int64_t i = first; i < first + n * step; i += step) {
        const double g = pdy[i], p = py[i];
        pdx[i] = static_cast<T>(log ? g - std::exp(p) * sum : p * (g - sum));
      }
    });
  });
  return dx;
}

}  // namespace heft
