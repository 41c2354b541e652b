// What the tests of meta-learning reweighters share: small networks in f64, batches, and the bilevel problem by brute force,
// with the gradient of every sample written out.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "autograd/elementwise.h"
#include "autograd/reduce.h"
#include "core/ops.h"
#include "core/random.h"
#include "data/dataset.h"
#include "layers/activation.h"
#include "layers/conv.h"
#include "layers/flatten.h"
#include "layers/linear.h"
#include "layers/losses.h"
#include "layers/models.h"
#include "layers/norm.h"
#include "layers/sequential.h"
#include "tests/catch_compat.h"
#include "tests/core/numbers.h"

namespace heft::test {

constexpr std::int64_t kSide = 4, kClasses = 3;

inline data::Batch random_batch(std::int64_t n, std::uint64_t seed, DType dtype = DType::f64) {
  return {.images = normal({n, 1, kSide, kSide}, seed, dtype),
          .labels = random_uniform({n}, 0, kClasses, DType::f64, Device::cpu(), {seed, 1}).astype(DType::i64),
          .indices = Tensor::arange(n),
          .groups = {},
          .clean_labels = {}};
}

inline ModulePtr small_mlp() {
  manual_seed(3);
  const ModulePtr net = models::mlp({.inputs = kSide * kSide, .hidden = {5}, .classes = kClasses});
  net->astype(DType::f64);
  return net;
}

// Batch norm over images and over features, in training mode.
inline ModulePtr small_conv_net() {
  manual_seed(4);
  const auto net = std::make_shared<Sequential>();
  net->append("conv", layer<Conv2d>({.in_channels = 1, .out_channels = 4, .kernel = 3, .padding = 1, .bias = false}));
  net->append("norm", layer<BatchNorm2d>({.channels = 4}));
  net->append("relu", layer<ReLU>());
  net->append("flatten", layer<Flatten>());
  net->append("hidden", layer<Linear>({.in_features = 4 * kSide * kSide, .out_features = 6}));
  net->append("norm2", layer<BatchNorm2d>({.channels = 6}));
  net->append("relu2", layer<ReLU>());
  net->append("out", layer<Linear>({.in_features = 6, .out_features = kClasses}));
  net->astype(DType::f64);
  return net;
}

// The problem at the parameters a network has when it is made.
class Bilevel {
 public:
  Bilevel(Module& net, const data::Batch& batch, const data::Batch& meta, double eta)
      : net_(net), meta_(meta), eta_(eta), parameters_(net.parameters()) {
    for (const Variable& p : parameters_) theta_.push_back(p.value().clone());
    const auto before = net.state();
    const Variable losses = cross_entropy(net(batch.images), batch.labels);
    losses_ = losses.value().to_vector<double>();
    for (std::size_t i = 0; i < losses_.size(); ++i) {
      std::vector<double> one(losses_.size(), 0);
      one[i] = 1;
      per_sample_.push_back(gradient([&] { backward(losses, Tensor::from(one), {.keep_graph = true}); }));
    }
    meta_gradient_ = gradient([&] { backward(mean(cross_entropy(net(meta.images), meta.labels))); });
    net.load_state(before);
  }

  const std::vector<double>& losses() const { return losses_; }
  // theta - eta sum_i shares_i grad l_i
  std::vector<Tensor> stepped(const std::vector<double>& shares) const {
    std::vector<Tensor> result = theta_;
    for (std::size_t i = 0; i < shares.size(); ++i)
      for (std::size_t k = 0; k < result.size(); ++k) result[k] = result[k] - per_sample_[i][k] * (eta_ * shares[i]);
    return result;
  }
  // L_meta there; the network is left as it was.
  double meta_loss(const std::vector<double>& shares) {
    const auto before = net_.state();
    const std::vector<Tensor> there = stepped(shares);
    for (std::size_t k = 0; k < there.size(); ++k) parameters_[k].set_value(there[k]);
    const NoGrad no_grad;
    const double loss = mean(cross_entropy(net_(meta_.images), meta_.labels)).value().item<double>();
    net_.load_state(before);
    return loss;
  }
  // -eta <grad L_meta(theta), grad l_i(theta)>, product by product.
  std::vector<double> slopes() const {
    std::vector<double> u;
    for (const std::vector<Tensor>& g : per_sample_) {
      u.push_back(0);
      for (std::size_t k = 0; k < g.size(); ++k) u.back() -= eta_ * inner_product(g[k], meta_gradient_[k]);
    }
    return u;
  }
  void check_parameters(const std::vector<Tensor>& want) const {
    for (std::size_t k = 0; k < want.size(); ++k) check_close(parameters_[k].value(), want[k], 1e-10);
  }

 private:
  template <class Sweep>
  std::vector<Tensor> gradient(const Sweep& sweep) {
    for (Variable& p : parameters_) p.zero_grad();
    sweep();
    std::vector<Tensor> result;
    for (Variable& p : parameters_) {
      result.push_back(p.has_grad() ? p.grad() : Tensor::zeros_like(p.value()));
      p.zero_grad();
    }
    return result;
  }

  Module& net_;
  data::Batch meta_;
  double eta_;
  std::vector<Variable> parameters_;
  std::vector<Tensor> theta_;
  std::vector<double> losses_;
  std::vector<std::vector<Tensor>> per_sample_;  // [sample][parameter]
  std::vector<Tensor> meta_gradient_;
};

// n points in the plane, odd ones around (1.5, 1.5) with label 1, even ones around (-1.5, -1.5) with label 0; with `flips`
// every third label is the other one.
inline data::Batch two_clouds(std::int64_t n, std::uint64_t seed, bool flips) {
  std::vector<std::int64_t> labels;
  std::vector<float> points = normal({n, 2}, seed, DType::f32).to_vector<float>();
  for (std::int64_t i = 0; i < n; ++i) {
    labels.push_back(flips && i % 3 == 0 ? 1 - i % 2 : i % 2);
    for (std::int64_t axis = 0; axis < 2; ++axis) points[static_cast<std::size_t>(2 * i + axis)] += i % 2 ? 1.5f : -1.5f;
  }
  return {.images = Tensor::from(points, {n, 2}),
          .labels = Tensor::from(labels),
          .indices = Tensor::arange(n),
          .groups = {},
          .clean_labels = {}};
}

inline void check_same_state(const std::map<std::string, Tensor>& got, const std::map<std::string, Tensor>& want) {
  REQUIRE(got.size() == want.size());
  for (const auto& [name, tensor] : want) {
    INFO(name);
    REQUIRE(got.count(name) == 1);
    CHECK(got.at(name).to_vector<double>() == tensor.to_vector<double>());
  }
}

}  // namespace heft::test
