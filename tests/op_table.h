// Every operation on Variables, one row each (or one per way of calling it). A row says how to call it and on which
// inputs; tests/autograd/op_table_test.cpp does the rest: backends against each other, finite differences, devices.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "autograd/elementwise.h"
#include "autograd/images.h"
#include "autograd/linalg.h"
#include "autograd/norm.h"
#include "autograd/reduce.h"
#include "autograd/shape_ops.h"
#include "core/ops.h"
#include "layers/losses.h"
#include "layers/losses_imbalance.h"
#include "layers/losses_noise.h"

namespace heft::test {

// One input: uniform in [low, high), or the values given.
struct Operand {
  Shape shape;
  double low = -2, high = 2;
  std::vector<double> values = {};
};
using Operands = std::vector<Operand>;
using Variables = std::vector<Variable>;

struct OpCase {
  std::string name;  // the public function's
  std::function<Variable(const Variables&)> op;
  std::vector<Operands> inputs;  // one set a call; rank-4 inputs are also given in the layout a convolution leaves
  double tolerance = 1e-5;       // between backends in f32: |difference| <= tolerance * max(1, |value|)
  bool differentiable = true;    // false: the result is compared, nothing more
};

// An i64 index on v's device.
inline Tensor index(const Variable& v, const std::vector<std::int64_t>& values, const Shape& shape) {
  return Tensor::from(values, shape).to(v.device());
}
inline Tensor index(const Variable& v, const std::vector<std::int64_t>& values) {
  return index(v, values, Shape{static_cast<std::int64_t>(values.size())});
}
inline Tensor three_labels(const std::vector<Variable>& v) { return index(v[0], {1, 0, 2}); }
// Constants of v's dtype on its device.
inline Tensor constants(const Variable& v, const std::vector<double>& values) {
  return Tensor::from(values).astype(v.dtype()).to(v.device());
}
inline Tensor positive(const Variable& v) { return compare<fn::Greater>(v.value(), v.value() * 0.0); }
// With running statistics that start from the same numbers every time.
inline Variable norm2d(const Variables& v, bool training) {
  Tensor mean = Tensor::full(v[1].shape(), 0.3, v[1].dtype(), v[1].device()), variance = mean + 1.2;
  return batch_norm(v[0], v[1], v[2], mean, variance, training);
}
inline Variable norm2d_relu(const Variables& v, bool training) {
  Tensor mean = Tensor::full(v[1].shape(), 0.3, v[1].dtype(), v[1].device()), variance = mean + 1.2;
  return batch_norm_relu(v[0], v[1], v[2], mean, variance, training, v.size() > 3 ? v[3] : Variable());
}

inline Variable conv_norm2d_relu(const Variables& v) {
  Tensor mean = Tensor::full(v[2].shape(), 0.3, v[2].dtype(), v[2].device()), variance = mean + 1.2;
  return conv2d_batch_norm_relu(v[0], v[1], {.padding = {1, 1}}, v[2], v[3], mean, variance, v.size() > 4 ? v[4] : Variable());
}

inline std::vector<Operands> on(std::initializer_list<Shape> shapes, double low = -2, double high = 2) {
  std::vector<Operands> sets;
  for (const Shape& shape : shapes) sets.push_back({{shape, low, high}});
  return sets;
}
inline std::vector<Operands> any() { return on({{7}, {2, 3}, {}, {2, 16, 4, 5}, {2, 3, 4, 5}}); }
inline std::vector<Operands> above(double low) { return on({{7}, {2, 3}, {}, {2, 16, 4, 5}, {2, 3, 4, 5}}, low, 3); }
// Equal shapes and every kind of broadcasting, b within [low, high).
inline std::vector<Operands> pairs(double a_low = -2, double b_low = -2) {
  std::vector<Operands> sets;
  const auto add = [&](const Shape& a, const Shape& b) { sets.push_back({{a, a_low, 2}, {b, b_low, 2}}); };
  add({2, 3}, {2, 3}), add({2, 3}, {3}), add({3}, {2, 3}), add({4, 1}, {1, 5}), add({2, 3}, {}), add({2, 1, 3}, {4, 1});
  add({2, 16, 3, 4}, {2, 16, 3, 4}), add({2, 3, 4, 4}, {2, 3, 4, 4}), add({2, 3, 4, 4}, {3, 1, 1}), add({1, 1}, {1, 1, 1});
  return sets;
}
inline std::vector<Operands> conv(const Shape& x, const Shape& weight, bool bias = true) {
  Operands set = {{x}, {weight, -0.5, 0.5}};
  if (bias) set.push_back({{weight[0]}});
  return {set};
}
inline auto conv_with(const Conv2dGeometry& g) {
  return [g](const Variables& v) { return conv2d(v[0], v[1], v.size() > 2 ? v[2] : Variable(), g); };
}
inline auto conv_relu_with(const Conv2dGeometry& g) {
  return [g](const Variables& v) { return conv2d_relu(v[0], v[1], v.size() > 2 ? v[2] : Variable(), g); };
}
inline std::vector<Operands> norm_inputs() {
  return {{{{3, 4, 2, 3}}, {{4}}, {{4}}}, {{{2, 16, 3, 3}}, {{16}}, {{16}}}, {{{6, 5}}, {{5}}, {{5}}}};
}
inline std::vector<Operands> norm_inputs_with_residual() {
  std::vector<Operands> sets = norm_inputs();
  for (Operands& set : sets) set.push_back({set[0].shape});
  return sets;
}

inline std::vector<OpCase> op_table() {
  using V = const Variables&;
  return {
      // ---- elementwise
      {"add", [](V v) { return v[0] + v[1]; }, pairs()},
      {"add", [](V v) { return 3.0 + v[0] + -1.5; }, any()},
      {"sub", [](V v) { return v[0] - v[1]; }, pairs()},
      {"sub", [](V v) { return 1.0 - (v[0] - 2.5); }, any()},
      {"mul", [](V v) { return v[0] * v[1]; }, pairs()},
      {"mul", [](V v) { return 3.0 * v[0] / 7.0; }, any()},
      {"div", [](V v) { return v[0] / v[1]; }, pairs(-2, 0.5)},
      {"pow", [](V v) { return pow(v[0], v[1]); }, pairs(0.5)},
      {"pow", [](V v) { return pow(v[0], 2.5); }, above(0.5)},
      {"pow", [](V v) { return pow(v[0], 3.0); }, any()},
      {"maximum", [](V v) { return maximum(v[0], v[1]); }, pairs()},
      {"minimum", [](V v) { return minimum(v[0], v[1]); }, pairs()},
      {"where", [](V v) { return where(positive(v[0]), v[0], v[1]); }, pairs()},
      {"where", [](V v) { return where(positive(v[1]), v[0], v[1]); }, pairs()},
      {"neg", [](V v) { return -v[0]; }, any()},
      {"exp", [](V v) { return exp(v[0]); }, any()},
      {"expm1", [](V v) { return expm1(v[0]); }, any()},
      {"log", [](V v) { return log(v[0]); }, above(0.3)},
      {"log1p", [](V v) { return log1p(v[0]); }, above(-0.5)},
      {"sqrt", [](V v) { return sqrt(v[0]); }, above(0.3)},
      {"abs", [](V v) { return abs(v[0]); }, any()},
      {"relu", [](V v) { return relu(v[0]); }, any()},
      {"relu", [](V v) { return relu(v[0]); }, {{{{4}, 0, 0, {-1, 0, 1e-7, 2}}}}},
      {"leaky_relu", [](V v) { return leaky_relu(v[0]); }, any()},
      {"leaky_relu", [](V v) { return leaky_relu(v[0], 0.3); }, any()},
      {"gelu", [](V v) { return gelu(v[0]); }, any()},
      {"silu", [](V v) { return silu(v[0]); }, any()},
      {"sigmoid", [](V v) { return sigmoid(v[0]); }, any()},
      {"tanh", [](V v) { return tanh(v[0]); }, any()},
      {"softplus", [](V v) { return softplus(v[0]); }, any()},
      {"clamp", [](V v) { return clamp(v[0], -0.7, 1.1); }, any()},
      {"clamp", [](V v) { return clamp(v[0], 0.2); }, any()},
      // ---- reductions
      {"sum", [](V v) { return sum(v[0]); }, on({{7}, {2, 3}, {}, {1, 1}, {2, 16, 3, 3}})},
      {"sum", [](V v) { return sum(v[0], {1}); }, on({{2, 3}, {2, 1, 3}, {2, 3, 4, 2}})},
      {"sum",
       [](V v) {
         return sum(v[0], {0, -1}, true);
       },
       on({{2, 3, 4}, {2, 3, 2, 2}})},
      {"mean", [](V v) { return mean(v[0]); }, on({{7}, {2, 3}, {}, {2, 3, 4, 5}})},
      {"mean",
       [](V v) {
         return mean(v[0], {0, 2, 3});
       },
       on({{2, 3, 4, 5}, {2, 16, 3, 3}})},
      {"mean", [](V v) { return mean(v[0], {-1}, true); }, on({{2, 3}, {4, 1}})},
      {"max", [](V v) { return max(v[0]); }, on({{7}, {2, 3}, {}})},
      {"max", [](V v) { return max(v[0], {1}); }, on({{2, 3}, {2, 5, 3}, {2, 1}})},
      {"max",
       [](V v) {
         return max(v[0], {0, 2}, true);
       },
       on({{2, 3, 4}})},
      {"min", [](V v) { return min(v[0]); }, on({{7}, {2, 3}, {}})},
      {"min", [](V v) { return min(v[0], {-2}); }, on({{2, 3}, {2, 5, 3}})},
      {"logsumexp", [](V v) { return logsumexp(v[0]); }, on({{7}, {2, 3}, {}})},
      {"logsumexp", [](V v) { return logsumexp(v[0], {1}); }, on({{2, 3}, {2, 5, 3}, {3, 1}}, -20, 20)},
      {"logsumexp",
       [](V v) {
         return logsumexp(v[0], {0, 2}, true);
       },
       on({{2, 3, 4}})},
      {"softmax", [](V v) { return softmax(v[0]); }, on({{5}, {4, 10}, {2, 3, 4}, {3, 1}})},
      {"softmax", [](V v) { return softmax(v[0], 1); }, on({{2, 5, 3}, {2, 3, 2, 2}})},
      {"log_softmax", [](V v) { return log_softmax(v[0]); }, on({{5}, {4, 10}, {2, 3, 4}, {3, 1}}, -8, 8)},
      {"log_softmax", [](V v) { return log_softmax(v[0], 0); }, on({{5, 3}})},
      {"argmax", [](V v) { return Variable(argmax(v[0])); }, on({{5}, {4, 10}, {2, 3, 4}}), 0, false},
      {"argmax", [](V v) { return Variable(argmax(v[0], 1)); }, {{{{2, 3}, 0, 0, {1, 3, 3, 2, 2, 2}}}}, 0, false},
      // ---- shapes
      {"reshape",
       [](V v) {
         return reshape(v[0], {-1, 2});
       },
       on({{4}, {2, 3}, {2, 3, 4, 5}})},
      {"reshape", [](V v) { return reshape(transpose(v[0]), {6}); }, on({{2, 3}})},
      {"flatten", [](V v) { return flatten(v[0]); }, on({{2, 3, 4}, {2, 3, 4, 5}, {2, 16, 3, 3}, {3, 2}})},
      {"transpose", [](V v) { return transpose(v[0]); }, on({{2, 3}, {2, 3, 4}})},
      {"transpose", [](V v) { return transpose(v[0], 0, 2) * 2.0; }, on({{2, 3, 4}, {2, 3, 2, 2}})},
      {"permute",
       [](V v) {
         return permute(v[0], {2, 0, 1});
       },
       on({{2, 3, 4}, {1, 3, 1}})},
      {"permute",
       [](V v) {
         return exp(permute(v[0], {0, 2, 3, -3}));
       },
       on({{2, 3, 4, 2}})},
      {"slice", [](V v) { return slice(v[0], 0, 1, 3); }, on({{5}, {4, 2}, {3, 3, 2, 2}})},
      {"slice", [](V v) { return slice(v[0], -1, -4, 100, 2); }, on({{5}, {2, 7}})},
      {"slice", [](V v) { return slice(v[0], 0, 2, 2); }, on({{5, 2}})},
      {"concat",
       [](V v) {
         return concat({v[0], v[1], v[0]}, 1);
       },
       {{{{2, 3}}, {{2, 1}}}, {{{2, 3, 2, 2}}, {{2, 4, 2, 2}}}}},
      {"concat",
       [](V v) {
         return concat({v[0], v[1]}, -2);
       },
       {{{{2, 3}}, {{1, 3}}}, {{{0, 3}}, {{1, 3}}}}},
      {"pad",
       [](V v) {
         return pad(v[0], {1, 0}, {0, 2});
       },
       on({{2, 3}, {1, 1}})},
      {"pad",
       [](V v) {
         return pad(v[0], {0, 0, 1, 2}, {0, 0, 2, 1}, 0.5);
       },
       on({{2, 3, 2, 2}})},
      {"expand",
       [](V v) {
         return expand(v[0], {4, 2, 3});
       },
       on({{2, 3}, {2, 1}, {1, 1, 3}, {}})},
      {"gather",
       [](V v) {
         return gather(v[0], 1, index(v[0], {0, 2, 1, 1}, {2, 2}));
       },
       on({{2, 3}})},
      {"gather",
       [](V v) {
         return gather(v[0], 0, index(v[0], {1, 1, 0}, {1, 3}));
       },
       on({{2, 3}})},
      {"index_select",
       [](V v) {
         return index_select(v[0], 0, index(v[0], {2, 0, 2}));
       },
       on({{3}, {3, 2}, {3, 3, 2, 2}})},
      {"index_select", [](V v) { return index_select(v[0], -1, index(v[0], {1})); }, on({{3, 2}, {2, 2, 2}})},
      {"embedding",
       [](V v) {
         return embedding(v[0], index(v[0], {4, 0, 4, 2, 1, 4}, {2, 3}));
       },
       on({{5, 3}})},
      // ---- matrices
      {"matmul",
       [](V v) { return matmul(v[0], v[1]); },
       {{{{2, 3}}, {{3, 4}}},
        {{{1, 1}}, {{1, 5}}},
        {{{2, 3, 4}}, {{2, 4, 2}}},
        {{{2, 3, 4}}, {{4, 2}}},
        {{{3, 4}}, {{2, 4, 2}}},
        {{{2, 1, 3, 2}}, {{4, 2, 3}}},
        {{{17, 33}}, {{33, 9}}}}},
      {"matmul", [](V v) { return matmul(transpose(v[0]), v[1]); }, {{{{3, 2}}, {{3, 4}}}, {{{2, 4, 3}}, {{1, 4, 2}}}}},
      {"linear",
       [](V v) { return linear(v[0], v[1], v[2]); },
       {{{{2, 3}}, {{4, 3}}, {{4}}},
        {{{3}}, {{2, 3}}, {{2}}},
        {{{2, 3, 5}}, {{4, 5}}, {{4}}},
        {{{9, 37}}, {{11, 37}}, {{11}}}}},
      {"linear", [](V v) { return linear(v[0], v[1]); }, {{{{2, 3}}, {{4, 3}}}, {{{1, 1}}, {{1, 1}}}}},
      {"linear_relu",
       [](V v) { return linear_relu(v[0], v[1], v[2]); },
       {{{{2, 3}}, {{4, 3}}, {{4}}}, {{{2, 3, 5}}, {{11, 5}}, {{11}}}, {{{9, 37}}, {{11, 37}}, {{11}}}}},
      {"linear_relu", [](V v) { return linear_relu(v[0], v[1]); }, {{{{2, 33}}, {{9, 33}}}}},
      // ---- images
      {"conv2d", conv_with({}), conv({2, 3, 5, 6}, {4, 3, 3, 2})},
      {"conv2d", conv_with({}), conv({2, 3, 4, 4}, {5, 3, 1, 1}, false)},
      {"conv2d", conv_with({.padding = {1, 1}}), conv({2, 16, 5, 5}, {16, 16, 3, 3})},
      {"conv2d", conv_with({.stride = {2, 2}, .padding = {1, 1}}), conv({2, 8, 7, 6}, {12, 8, 3, 3}, false)},
      {"conv2d", conv_with({.stride = {1, 2}, .padding = {2, 0}}), conv({1, 2, 4, 9}, {3, 2, 5, 3})},
      {"conv2d", conv_with({.padding = {2, 2}, .dilation = {2, 2}}), conv({2, 3, 6, 6}, {4, 3, 3, 3})},
      {"conv2d", conv_with({.padding = {1, 1}, .groups = 2}), conv({2, 4, 5, 5}, {6, 2, 3, 3})},
      {"conv2d", conv_with({.padding = {1, 1}, .groups = 4}), conv({2, 4, 5, 5}, {4, 1, 3, 3})},
      {"conv2d", conv_with({.stride = {2, 2}, .padding = {1, 1}, .groups = 16}), conv({2, 16, 5, 5}, {32, 1, 3, 3}, false)},
      // A batch that the CPU puts into the lanes of vectors.
      {"conv2d", conv_with({.padding = {1, 0}}), conv({13, 2, 4, 3}, {3, 2, 3, 2})},
      {"conv2d_relu", conv_relu_with({.padding = {1, 1}}), conv({13, 2, 3, 3}, {3, 2, 3, 3})},
      {"conv2d_relu", conv_relu_with({.padding = {2, 1}}), conv({2, 6, 4, 5}, {5, 6, 5, 3}, false)},
      {"conv2d_relu", conv_relu_with({.stride = {2, 2}}), conv({2, 16, 5, 5}, {16, 16, 3, 3})},
      {"max_pool2d", [](V v) { return max_pool2d(v[0], {}); }, on({{2, 3, 4, 6}, {2, 16, 5, 5}, {1, 1, 2, 2}})},
      {"max_pool2d",
       [](V v) {
         return max_pool2d(v[0], {.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 0}});
       },
       on({{2, 3, 5, 4}, {2, 16, 5, 5}})},
      {"avg_pool2d", [](V v) { return avg_pool2d(v[0], {}); }, on({{2, 3, 4, 6}, {2, 16, 5, 5}})},
      {"avg_pool2d",
       [](V v) {
         return avg_pool2d(v[0], {.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 1}});
       },
       on({{2, 3, 5, 4}, {2, 16, 5, 5}})},
      {"subsample", [](V v) { return subsample(v[0], 2, 1, 2); }, on({{2, 3, 5, 4}, {2, 16, 4, 4}, {1, 1, 1, 1}})},
      {"subsample", [](V v) { return subsample(v[0], 1, 0, 1); }, on({{2, 4, 3, 2}})},
      {"subsample", [](V v) { return subsample(v[0], 3, 4, 8); }, on({{2, 16, 5, 4}})},
      {"adaptive_avg_pool2d", [](V v) { return adaptive_avg_pool2d(v[0], 2, 1); }, on({{2, 3, 4, 6}, {2, 16, 2, 1}})},
      {"global_avg_pool2d", [](V v) { return global_avg_pool2d(v[0]); }, on({{2, 3, 4, 6}, {2, 16, 8, 8}, {1, 2, 1, 1}})},
      // ---- normalisation
      {"batch_norm", [](V v) { return norm2d(v, true); }, norm_inputs(), 1e-4},
      {"batch_norm", [](V v) { return norm2d(v, false); }, norm_inputs()},
      {"batch_norm_relu", [](V v) { return norm2d_relu(v, true); }, norm_inputs(), 1e-4},
      {"batch_norm_relu", [](V v) { return norm2d_relu(v, true); }, norm_inputs_with_residual(), 1e-4},
      {"batch_norm_relu", [](V v) { return norm2d_relu(v, false); }, norm_inputs()},
      {"batch_norm_relu", [](V v) { return norm2d_relu(v, false); }, norm_inputs_with_residual()},
      {"conv2d_batch_norm_relu",
       conv_norm2d_relu,
       {{{{2, 3, 4, 3}}, {{4, 3, 3, 3}}, {{4}}, {{4}}}, {{{2, 3, 4, 3}}, {{4, 3, 3, 3}}, {{4}}, {{4}}, {{2, 4, 4, 3}}}}},
      {"layer_norm",
       [](V v) { return layer_norm(v[0], v[1], v[2]); },
       {{{{4, 6}}, {{6}}, {{6}}}, {{{2, 3, 5}}, {{5}}, {{5}}}, {{{7}}, {{7}}, {{7}}}},
       1e-4},
      {"layer_norm", [](V v) { return layer_norm(v[0]); }, on({{4, 6}, {2, 3, 2, 5}}), 1e-4},
      {"l2_normalize", [](V v) { return l2_normalize(v[0]); }, on({{7}, {4, 6}, {2, 3, 2, 5}})},
      {"l2_normalize", [](V v) { return l2_normalize(v[0], 0.4); }, on({{4, 6}})},
      {"dropout",
       [](V v) {
         return dropout(v[0], 0.4, true, {3, 5});
       },
       any()},
      {"dropout", [](V v) { return dropout(v[0], 0.4, false) * 1.0; }, any()},
      // ---- losses
      {"cross_entropy",
       [](V v) {
         return cross_entropy(v[0], index(v[0], {1, 0, 2, 2}));
       },
       on({{4, 3}}, -5, 5)},
      {"cross_entropy",
       [](V v) {
         return cross_entropy(v[0], index(v[0], {1, 0, 2}),
                              {.label_smoothing = 0.2, .class_weights = constants(v[0], {0.5, 2, 0, 1})});
       },
       on({{3, 4}}, -5, 5)},
      {"nll",
       [](V v) {
         return nll(log_softmax(v[0]), index(v[0], {1, 0, 2}));
       },
       on({{3, 4}})},
      {"binary_cross_entropy_with_logits",
       [](V v) {
         return binary_cross_entropy_with_logits(v[0], constants(v[0], {0, 1, 0.3}).reshape({3, 1}).expand(v[0].shape()));
       },
       on({{3, 1}, {3, 4}}, -6, 6)},
      {"mse", [](V v) { return mse(v[0], v[1]); }, {{{{3}}, {{3}}}, {{{2, 4}}, {{2, 4}}}, {{{2, 3, 2, 2}}, {{2, 3, 2, 2}}}}},
      {"l1", [](V v) { return l1(v[0], v[1]); }, {{{{3}}, {{3}}}, {{{2, 4}}, {{2, 4}}}}},
      {"smooth_l1", [](V v) { return smooth_l1(v[0], v[1], {.beta = 0.7}); }, {{{{3}}, {{3}}}, {{{2, 4}}, {{2, 4}}}}},
      {"hinge",
       [](V v) {
         return hinge(v[0], index(v[0], {1, 0, 2}));
       },
       on({{3, 4}})},
      {"class_weighted",
       [](V v) {
         return class_weighted(v[0], three_labels(v), constants(v[0], {0.5, 2, 1}));
       },
       on({{3}})},
      {"logistic",
       [](V v) {
         return logistic(v[0], index(v[0], {1, -1, 1}));
       },
       on({{3}, {3, 1}}, -6, 6)},
      {"ldam",
       [](V v) {
         return ldam(v[0], three_labels(v), {.counts = {81, 16, 1}, .scale = 5});
       },
       on({{3, 3}}, -1, 1)},
      {"ldam_margins",
       [](V) {
         return Variable(ldam_margins({81, 16, 1}));
       },
       on({{}}), 0, false},
      {"focal", [](V v) { return focal(v[0], three_labels(v)); }, on({{3, 4}}, -5, 5)},
      {"focal", [](V v) { return focal(v[0], three_labels(v), {.gamma = 0.5}); }, on({{3, 4}}, -5, 5)},
      {"logit_adjusted_cross_entropy",
       [](V v) {
         return logit_adjusted_cross_entropy(v[0], three_labels(v), {.counts = {900, 90, 10}, .tau = 0.7});
       },
       on({{3, 3}}, -5, 5)},
      {"symmetric_cross_entropy", [](V v) { return symmetric_cross_entropy(v[0], three_labels(v), {.alpha = 2}); },
       on({{3, 4}}, -5, 5)},
      {"generalized_cross_entropy", [](V v) { return generalized_cross_entropy(v[0], three_labels(v)); }, on({{3, 4}}, -5, 5)},
      {"normalize_logits", [](V v) { return normalize_logits(v[0]); }, on({{3, 4}}, -5, 5)},
      // ---- results that are no floats
      {"one_hot", [](V v) { return Variable(one_hot(argmax(v[0]), 6)); }, on({{2, 6}}), 0, false},
      {"equal", [](V v) { return Variable(compare<fn::Equal>(v[0].value(), v[0].value())); }, any(), 0, false},
      {"not_equal", [](V v) { return Variable(compare<fn::NotEqual>(v[0].value(), v[1].value())); }, pairs(), 0, false},
      {"less", [](V v) { return Variable(compare<fn::Less>(v[0].value(), v[1].value())); }, pairs(), 0, false},
      {"less_equal", [](V v) { return Variable(compare<fn::LessEqual>(v[0].value(), v[1].value())); }, pairs(), 0, false},
      {"greater", [](V v) { return Variable(compare<fn::Greater>(v[0].value(), v[1].value())); }, pairs(), 0, false},
      {"greater_equal", [](V v) { return Variable(compare<fn::GreaterEqual>(v[0].value(), v[1].value())); }, pairs(), 0, false},
  };
}

}  // namespace heft::test
