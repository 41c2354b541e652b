// Meta-learning reweighters: methods that learn a weight per sample from a small clean, balanced meta set. They are what
// ABSGD is measured against. For a batch with losses l_i(theta) and weights p_i, they ask how the loss on a meta batch,
// L_meta = (1/M) sum_j l_j, changes with p through a virtual step of plain SGD,
//   theta^ = theta - eta sum_i p_i grad l_i(theta):    d L_meta(theta^) / d p_i = -eta <grad L_meta(theta^), grad l_i(theta)>,
// one Jacobian-vector product of the loss vector (autograd/jvp.h), exact and without second derivatives.
//
// A reweighter is the reduction of the optimizer that trains the network, so that its weights, state and diagnostics are
// where those of every other method are:
//   const auto weigher = std::make_shared<train::LearnToReweight>();
//   optim::SGD opt(net->parameters(), {.lr = 0.1, .momentum = 0.9}, weigher);
//   data::Cycle meta(data::Loader(clean, {.batch_size = 100, .shuffle = true, .workers = 0}));
//   for (const data::Batch& batch : loader) weigher->step(*net, opt, batch, meta.next());
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "layers/module.h"
#include "optim/optimizer.h"
#include "train/evaluate.h"

namespace heft::train {

struct MetaStepOptions {
  Loss loss = nullptr;       // of the training batch; null: cross entropy
  Loss meta_loss = nullptr;  // of the meta batch; null: as `loss`
};

// Of the training batch, before the update.
struct MetaStep {
  Tensor outputs;  // (N, C)
  Tensor losses;   // (N)
};

class MetaReweighter : public optim::Reduction {
 public:
  // A whole training step: weights for the batch, and the optimizer's update of `net` with gradient sum_i p_i grad l_i.
  // weights() are then N p_i.
  //
  // eta is the learning rate of the optimizer's first group as it is now; momentum and weight decay take no part in the
  // virtual step, which moves the optimizer's parameters. The network runs in the mode it is in. Batch norm in training mode
  // normalises every batch, the meta batch too, with that batch's own statistics, and derivatives go through them; running
  // statistics (all buffers) see the training batch once, as in plain SGD, and the meta batch never. With dropout, all
  // gradients of the batch's losses are of one mask.
  // Throws ValueError unless `opt` was built with this reduction, and NumericError where losses or meta gradients are not
  // finite; after any error parameters and buffers have the values that the training batch's own forward pass left.
  MetaStep step(Module& net, optim::Optimizer& opt, const data::Batch& batch, const data::Batch& meta,
                const MetaStepOptions& options = {});

  // Of the last step.
  double meta_loss() const { return meta_loss_; }                              // L_meta(theta^)
  const std::vector<double>& meta_gradient() const { return meta_gradient_; }  // d L_meta(theta^) / d p_i
  std::vector<std::pair<std::string, double>> diagnostics() const override;    // and "meta_loss"

 protected:
  struct Context {
    Module& net;
    optim::Optimizer& opt;
    const data::Batch& batch;
    const data::Batch& meta;
    const MetaStepOptions& options;
  };
  // The training batch as the network sees it, with its graph.
  struct Forward {
    Variable outputs;
    Variable losses;
  };
  // That, and p, N of them.
  struct Weighed {
    Forward forward;
    std::vector<double> shares;
  };
  virtual Weighed weigh_batch(const Context& context) = 0;

  // For weigh_batch.
  Forward forward(const Context& context) const;
  // The gradient of L_meta at the parameters' present values, one per parameter that has one; it ends with no gradients in
  // the parameters. Buffers are left as they were.
  std::vector<std::pair<Variable, Tensor>> meta_pass(const Context& context);
  // d L_meta / d p, from the gradient of L_meta; `losses` keep their graph.
  const std::vector<double>& differentiate(const Context& context, const Variable& losses,
                                           const std::vector<std::pair<Variable, Tensor>>& meta_gradients);

 private:
  Forward forward(Module& net, const data::Batch& batch, const Loss& loss, const char* which) const;
  // Weights that step() has found; alone it has none to give.
  void compute(const Batch& batch, std::span<double> weights, bool update) override;

  std::vector<double> found_;
  std::vector<double> meta_gradient_;
  double meta_loss_ = 0;
};

}  // namespace heft::train
