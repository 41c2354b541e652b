// Losses for noisy labels: logits (N, C), labels (N), one value per sample; conventions, numerics and errors as in
// layers/losses.h. p is softmax(z_i)[y_i], the probability of the given label.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "autograd/variable.h"

namespace heft {

struct SymmetricCrossEntropyOptions {
  double alpha = 0.1;  // of the cross entropy, >= 0
  double beta = 1;     // of the reverse one, >= 0
  // What stands for log 0 in the reverse cross entropy, < 0. The authors' code clamps the one-hot label at 1e-4, whose natural
  // logarithm this is; their paper sets A = -4.
  double log_zero = -9.210340371976182;
};
// Wang et al., ICCV 2019: the label distribution and the prediction take turns as the truth.
//   loss_i = alpha (-log p) + beta (-log_zero) (1 - p).
// alpha 0.1, beta 1 are the paper's for CIFAR-10 (6 and 0.1 for CIFAR-100). The authors' code clamps the probabilities at 1e-7
// as well; here they are what they are.
Variable symmetric_cross_entropy(const Variable& logits, const Tensor& labels,
                                 const SymmetricCrossEntropyOptions& options = {});

struct GeneralizedCrossEntropyOptions {
  double q = 0.7;  // in [1e-6, 1]: towards 0 cross entropy; 1 is 1 - p, half the mean absolute error
};
// Zhang and Sabuncu, NeurIPS 2018: loss_i = (1 - p^q) / q.
Variable generalized_cross_entropy(const Variable& logits, const Tensor& labels,
                                   const GeneralizedCrossEntropyOptions& options = {});

struct TruncatedGceOptions {
  double q = 0.7;  // in [1e-6, 1]
  double k = 0.5;  // in [0, 1): what p must exceed for a sample to be kept
};
// The truncated form, with a memory v of 0 or 1 for each training sample, by Sample::index, all 1 at first:
//   loss_i = v_i ((1 - p^q) / q - (1 - k^q) / q).
// The loss of a kept sample is negative once p > k. update() sets v; the authors call it for the whole training set every 10
// epochs from epoch 40 of 120 (CIFAR-10; 80 for CIFAR-100), with the network that was best so far in evaluation mode. As a
// loss of (logits, labels): [&](const Variable& z, const Tensor& y) { return gce(z, y, batch.indices); }. It can be neither
// copied nor used for samples outside its training set, which have no memory: evaluate with generalized_cross_entropy.
class TruncatedGce {
 public:
  // samples >= 1: data::Dataset::source_size(), so that every index has its place.
  explicit TruncatedGce(std::int64_t samples, const TruncatedGceOptions& options = {});
  TruncatedGce(const TruncatedGce&) = delete;
  TruncatedGce& operator=(const TruncatedGce&) = delete;

  // indices: integers (N), each in [0, samples).
  Variable operator()(const Variable& logits, const Tensor& labels, const Tensor& indices) const;
  // v = 1 for those of these samples with p > k, else 0. The others keep theirs.
  void update(const Variable& logits, const Tensor& labels, const Tensor& indices);

  std::int64_t samples() const { return static_cast<std::int64_t>(kept_.size()); }
  std::int64_t pruned() const;  // how many v are 0

  // "kept": v, u8 (samples). load_state throws ValueError where it is missing or holds another number than 0 and 1, ShapeError
  // for another size, and changes nothing then.
  std::map<std::string, Tensor> state() const;
  void load_state(const std::map<std::string, Tensor>& state);

 private:
  std::vector<std::int64_t> checked_indices(const Tensor& indices, std::int64_t n) const;

  TruncatedGceOptions options_;
  std::vector<std::uint8_t> kept_;
};

// z_i / ||z_i||_2^tau, floored at a norm of 1e-6 (l2_normalize, autograd/norm.h); tau in [0, 2]. For training alone: with
// tau = 1 the logits lie on the unit sphere, and cross entropy on them is bounded. The code of ABSGD calls it class_tau.
Variable normalize_logits(const Variable& logits, double tau = 1);

}  // namespace heft
