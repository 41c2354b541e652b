// TopK: the mean of the k largest losses of a batch (average top-k loss, Fan et al., 2017; with a k that is the batch's
// minority, online hard example mining, Shrivastava et al., 2016). It descends
//   max over p of  sum p_i loss_i  with  0 <= p_i <= 1 / k, sum p_i = 1
// by w_i = N p_i: N / k for losses above the k-th largest, and those that tie with it share evenly what is left of k places.
// It counts samples, so a prior has no place in it and is refused: CVaR is its form for mass, the same at alpha = k / N.
//   SGD opt(net->parameters(), {.lr = 0.1}, std::make_shared<TopK>(TopKOptions{.share = 0.25}));
#pragma once

#include <optional>

#include "optim/reduction.h"

namespace heft::optim {

// Set exactly one.
struct TopKOptions {
  std::optional<std::int64_t> k = {};  // at least 1; a smaller batch counts whole
  std::optional<double> share = {};    // in (0, 1]: k = share N, rounded up, of each batch
};

// Each batch stands for itself: no state.
class TopK final : public Reduction {
 public:
  // Throws ValueError naming the option.
  explicit TopK(const TopKOptions& options);
  const char* name() const override { return "top_k"; }

  // Of the last batch.
  double objective() const { return objective_; }  // the mean of its k largest losses
  double threshold() const { return threshold_; }  // the k-th largest
  std::int64_t k() const { return k_; }
  std::vector<std::pair<std::string, double>> diagnostics() const override;

 private:
  // Throws ValueError for a prior.
  void compute(const Batch& batch, std::span<double> weights, bool update) override;
  std::int64_t k_of(std::int64_t n) const;

  TopKOptions options_;
  std::int64_t k_ = 0;
  double objective_ = 0, threshold_ = 0;
};

}  // namespace heft::optim
