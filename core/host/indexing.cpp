#include <algorithm>

#include "core/host/host_backend.h"
#include "core/parallel.h"

namespace heft {

Tensor HostBackend::argmax(const Tensor& x) {
  const std::int64_t outer = x.size(0), n = x.size(1), inner = x.size(2);
  Tensor result = Tensor::empty({outer, inner}, DType::i64);
  std::int64_t* best = result.mutable_data<std::int64_t>();
  dispatch_number("argmax", x.dtype(), [&]<class T>() {
    const T* p = x.data<T>();
    parallel_for(outer, 256, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o)
        for (std::int64_t i = 0; i < inner; ++i) {
          const T* column = p + o * n * inner + i;
          std::int64_t at = 0;
          for (std::int64_t j = 1; j < n; ++j) {
            const T v = column[j * inner], top = column[at * inner];
            if (v > top || (v != v && top == top)) at = j;  // a NaN wins, so that it is seen
          }
          best[o * inner + i] = at;
        }
    });
  });
  return result;
}

Tensor HostBackend::index_select(const Tensor& x, const Tensor& index) {
  const std::int64_t outer = x.size(0), n = x.size(1), inner = x.size(2), k = index.numel();
  Tensor y = Tensor::empty({outer, k, inner}, x.dtype());
  const std::int64_t* at = index.data<std::int64_t>();
  dispatch_all(x.dtype(), [&]<class T>() {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for (std::int64_t o = 0; o < outer; ++o)
      for (std::int64_t j = 0; j < k; ++j) std::copy_n(from + (o * n + at[j]) * inner, inner, to + (o * k + j) * inner);
  });
  return y;
}

Tensor HostBackend::index_add(const Tensor& dy, const Tensor& index, std::int64_t n) {
  const std::int64_t outer = dy.size(0), k = dy.size(1), inner = dy.size(2);
  Tensor dx = Tensor::zeros({outer, n, inner}, dy.dtype());
  const std::int64_t* at = index.data<std::int64_t>();
  dispatch_float("index_add", dy.dtype(), [&]<class T>() {
    const T* from = dy.data<T>();
    T* to = dx.mutable_data<T>();
    for (std::int64_t o = 0; o < outer; ++o)
      for (std::int64_t j = 0; j < k; ++j) {
        const T* row = from + (o * k + j) * inner;
        T* sum = to + (o * n + at[j]) * inner;
        for (std::int64_t i = 0; i < inner; ++i) sum[i] += row[i];
      }
  });
  return dx;
}

Tensor HostBackend::gather(const Tensor& x, const Tensor& index) {
  const std::int64_t outer = x.size(0), n = x.size(1), inner = x.size(2), k = index.size(1);
  Tensor y = Tensor::empty({outer, k, inner}, x.dtype());
  const std::int64_t* at = index.data<std::int64_t>();
  dispatch_all(x.dtype(), [&]<class T>() {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for (std::int64_t o = 0; o < outer; ++o)
      for (std::int64_t j = 0; j < k; ++j)
        for (std::int64_t i = 0; i < inner; ++i) {
          const std::int64_t e = (o * k + j) * inner + i;
          to[e] = from[(o * n + at[e]) * inner + i];
        }
  });
  return y;
}

Tensor HostBackend::gather_backward(const Tensor& dy, const Tensor& index, std::int64_t n) {
  const std::int64_t outer = dy.size(0), k = dy.size(1), inner = dy.size(2);
  Tensor dx = Tensor::zeros({outer, n, inner}, dy.dtype());
  const std::int64_t* at = index.data<std::int64_t>();
  dispatch_float("gather", dy.dtype(), [&]<class T>() {
    const T* from = dy.data<T>();
    T* to = dx.mutable_data<T>();
    for (std::int64_t o = 0; o < outer; ++o)
      for (std::int64_t j = 0; j < k; ++j)
        for (std::int64_t i = 0; i < inner; ++i) {
          const std::int64_t e = (o * k + j) * inner + i;
          to[(o * n + at[e]) * inner + i] += from[e];
        }
  });
  return dx;
}

}  // namespace heft
