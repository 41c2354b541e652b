#include <cmath>

#include "core/parallel.h"
#include "core/reference/loops.h"
#include "core/reference/reference_backend.h"

// y = gamma (x - mean) / sqrt(variance + eps) + beta per channel, and its gradients, from Ioffe and Szegedy, "Batch
// normalization", 2015.
namespace heft {
namespace {

// Calls f(channel), channels in parallel.
template <class F>
void for_each_channel(const Shape& x, F f) {
  parallel_for(x[1], reference::grain(x[0] * x[2] * x[3]), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) f(c);
  });
}

// Calls f(index) for every element of channel c.
template <class F>
void for_each_element(const Shape& x, std::int64_t c, F f) {
  const std::int64_t plane = x[2] * x[3];
  for (std::int64_t n = 0; n < x[0]; ++n)
    for (std::int64_t i = (n * x[1] + c) * plane; i < (n * x[1] + c + 1) * plane; ++i) f(i);
}

}  // namespace

BatchNormResult ReferenceBackend::batch_norm_train(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) {
  const Tensor input = plain(x);
  const Shape shape = x.shape();
  const double count = static_cast<double>(shape[0] * shape[2] * shape[3]);
  Tensor mean = Tensor::empty(Shape{shape[1]}, x.dtype()), variance = Tensor::empty(Shape{shape[1]}, x.dtype());
  dispatch_float("batch_norm", x.dtype(), [&]<class T>() {
    const T* px = input.data<T>();
    T *pm = mean.mutable_data<T>(), *pv = variance.mutable_data<T>();
    for_each_channel(shape, [=](std::int64_t c) {
      double sum = 0, squares = 0;
      for_each_element(shape, c, [&](std::int64_t i) { sum += static_cast<double>(px[i]); });
      const double centre = sum / count;
      for_each_element(shape, c, [&](std::int64_t i) {
        const double d = static_cast<double>(px[i]) - centre;
        squares += d * d;
      });
      pm[c] = static_cast<T>(centre);
      pv[c] = static_cast<T>(squares / count);
    });
  });
  return {batch_norm_eval(input, gamma, beta, mean, variance, eps), mean, variance};
}

Tensor ReferenceBackend::batch_norm_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                                         const Tensor& variance, double eps) {
  const Tensor input = plain(x);
  const Shape shape = x.shape();
  Tensor y = Tensor::empty(shape, x.dtype());
  dispatch_float("batch_norm", x.dtype(), [&]<class T>() {
    const T *px = input.data<T>(), *pg = gamma.data<T>(), *pb = beta.data<T>(), *pm = mean.data<T>(), *pv = variance.data<T>();
    T* py = y.mutable_data<T>();
    for_each_channel(shape, [=](std::int64_t c) {
      const double centre = pm[c], shift = pb[c], scale = pg[c] / std::sqrt(static_cast<double>(pv[c]) + eps);
      for_each_element(shape, c,
                       [&](std::int64_t i) { py[i] = static_cast<T>((static_cast<double>(px[i]) - centre) * scale + shift); });
    });
  });
  return y;
}

BatchNormGradients ReferenceBackend::batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& gamma,
                                                         const Tensor& mean, const Tensor& variance, double eps) {
  const Tensor input = plain(x), gradient = plain(dy);
  const Shape shape = x.shape();
  const double count = static_cast<double>(shape[0] * shape[2] * shape[3]);
  BatchNormGradients result{Tensor::empty(shape, x.dtype()), Tensor::empty(gamma.shape(), x.dtype()),
                            Tensor::empty(gamma.shape(), x.dtype())};
  dispatch_float("batch_norm", x.dtype(), [&]<class T>() {
    const T *px = input.data<T>(), *pdy = gradient.data<T>(), *pg = gamma.data<T>(), *pm = mean.data<T>(),
            *pv = variance.data<T>();
    T *pdx = result.input.mutable_data<T>(), *pdg = result.gamma.mutable_data<T>(), *pdb = result.beta.mutable_data<T>();
    for_each_channel(shape, [=](std::int64_t c) {
      const double centre = pm[c], inverse = 1 / std::sqrt(static_cast<double>(pv[c]) + eps);
      double sum = 0, product = 0;  // of dy, and of dy with the normalised x
      for_each_element(shape, c, [&](std::int64_t i) {
        const double g = pdy[i];
        sum += g;
        product += g * (static_cast<double>(px[i]) - centre) * inverse;
      });
      const double scale = pg[c] * inverse;
      for_each_element(shape, c, [&](std::int64_t i) {
        const double normalised = (static_cast<double>(px[i]) - centre) * inverse;
        pdx[i] = static_cast<T>(scale * (static_cast<double>(pdy[i]) - sum / count - normalised * product / count));
      });
      pdg[c] = static_cast<T>(product);
      pdb[c] = static_cast<T>(sum);
    });
  });
  return result;
}

}  // namespace heft
