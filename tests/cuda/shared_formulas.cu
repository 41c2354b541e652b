// Compiled by script/check where an nvcc is: every scalar formula and random number that the CPU uses is device code too.
#include "core/functors.h"
#include "core/random.h"

namespace heft {

template <class F, class T>
__global__ void unary(const T* x, const T* dy, T* out, F f) {
  const T y = f.forward(x[0]);
  out[0] = f.backward(x[0], y, dy[0]);
}

template <class F, class T>
__global__ void binary(const T* x, const T* dy, T* out, F f) {
  const T y = f.forward(x[0], x[1]);
  out[0] = f.backward_a(x[0], x[1], y, dy[0]);
  out[1] = f.backward_b(x[0], x[1], y, dy[0]);
}

template <class F, class T>
__global__ void compare(const T* x, bool* out, F f) {
  out[0] = f.forward(x[0], x[1]);
}

__global__ void uniform(float* out, RandomKey key) {
  for (const std::uint32_t bits : random_bits(key, 0)) *out++ = uniform_from_bits(bits);
}

template <class T, class... F>
void launch_unary(fn::List<F...>, T* p) {
  (unary<F, T><<<1, 1>>>(p, p, p, F{}), ...);
}
template <class T, class... F>
void launch_binary(fn::List<F...>, T* p) {
  (binary<F, T><<<1, 1>>>(p, p, p, F{}), ...);
}
template <class T, class... F>
void launch_compare(fn::List<F...>, T* p) {
  (compare<F, T><<<1, 1>>>(p, static_cast<bool*>(nullptr), F{}), ...);
}

template <class T>
void launch(T* p) {
  launch_unary(fn::Unary{}, p);
  launch_binary(fn::Binary{}, p);
  launch_compare(fn::Compare{}, p);
}

void launch_all(float* f, double* d) {
  launch(f);
  launch(d);
  uniform<<<1, 1>>>(f, RandomKey{});
}

}  // namespace heft
