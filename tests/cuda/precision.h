// For as long as it lives, products on a GPU are computed like this.
#pragma once

#include "cuda/cuda.h"

namespace heft::test {

class ProductsIn {
 public:
  explicit ProductsIn(cuda::Precision precision) { cuda::set_precision(precision); }
  ~ProductsIn() { cuda::set_precision(before_); }
  ProductsIn(const ProductsIn&) = delete;
  ProductsIn& operator=(const ProductsIn&) = delete;

 private:
  cuda::Precision before_ = cuda::precision();
};

// Those of f32, not of TF32: what tests to the last digits need.
struct ExactProducts : ProductsIn {
  ExactProducts() : ProductsIn(cuda::Precision::f32) {}
};

}  // namespace heft::test
