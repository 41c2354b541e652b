// What the CPU backends share: everything that is a loop over host memory and needs no tuned library. The elementwise
// loops are expanded from the lists in core/functors.h. ReferenceBackend and CpuBackend add the heavy primitives.
#pragma once

#include "core/backend.h"

namespace heft {

class HostBackend : public Backend {
 public:
  void fill(Tensor& x, double value) override;
  void copy(const Tensor& source, Tensor& target) override;
  Tensor cast(const Tensor& x, DType dtype) override;

  Tensor unary(int op, Params params, const Tensor& x) override;
  Tensor unary_backward(int op, Params params, const Tensor& x, const Tensor& y, const Tensor& dy) override;
  Tensor binary(int op, const Tensor& a, const Tensor& b) override;
  Tensor binary_backward(int op, int which, const Tensor& a, const Tensor& b, const Tensor& y, const Tensor& dy) override;
  Tensor compare(int op, const Tensor& a, const Tensor& b) override;
  Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) override;

  Tensor sum_squares(const Tensor& x) override;
  Tensor argmax(const Tensor& x) override;
  Tensor index_select(const Tensor& x, const Tensor& index) override;
  Tensor index_add(const Tensor& dy, const Tensor& index, std::int64_t n) override;
  Tensor gather(const Tensor& x, const Tensor& index) override;
  Tensor gather_backward(const Tensor& dy, const Tensor& index, std::int64_t n) override;

  TiltResult tilt(const Tensor& losses, const Tensor& prior, const Tensor& prior_before, const tilt::Options& options,
                  Tensor& state, bool update) override;
  void random(Tensor& x, Distribution distribution, double a, double b, RandomKey key) override;
  void sgd_step(Tensor& parameter, const Tensor& gradient, Tensor& velocity, const SgdStep& step) override;
  void sgd_steps(std::vector<SgdTarget>& targets, const SgdStep& step, const Tensor& factors, const Tensor& hold) override;
  void adam_step(Tensor& parameter, const Tensor& gradient, Tensor& first_moment, Tensor& second_moment,
                 const AdamStep& step) override;
};

}  // namespace heft
