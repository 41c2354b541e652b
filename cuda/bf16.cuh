// Images kept in bf16 (cuda/layout.h): their element type for kernels, which compute in float. Internal to cuda/.
#pragma once

#include <type_traits>

#include "cuda/bf16.h"
#include "cuda/layout.h"

namespace heft::cuda {

// What a kernel adds and multiplies in where tensors hold T.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, bf16>, float, T>;

// Calls f.template operator()<T>() for what an image of f32, f64 or f32 kept in bf16 holds.
template <class F>
decltype(auto) dispatch_image(const char* op, const Tensor& x, F&& f) {
  if (in_bf16(x)) return f.template operator()<bf16>();
  return dispatch_float(op, x.dtype(), f);
}

}  // namespace heft::cuda
