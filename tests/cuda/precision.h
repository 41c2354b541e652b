// For as long as it lives, products on a GPU are those of f32, not of TF32: what tests to the last digits need.
#pragma once

#include "cuda/cuda.h"

namespace heft::test {

class ExactProducts {
 public:
  ExactProducts() { cuda::set_precision(cuda::Precision::f32); }
  ~ExactProducts() { cuda::set_precision(before_); }
  ExactProducts(const ExactProducts&) = delete;
  ExactProducts& operator=(const ExactProducts&) = delete;

 private:
  cuda::Precision before_ = cuda::precision();
};

}  // namespace heft::test
