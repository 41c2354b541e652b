// What a network computes, as a list of operations, found by running it. Internal to train/.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "autograd/attribute.h"
#include "layers/module.h"

namespace heft::train {

struct TracedNetwork {
  struct Value {
    Shape shape;             // with kBatch samples
    std::vector<bool> free;  // by axis: whether the extent follows the number of samples
    std::string name = {};   // of a parameter
    Tensor constant = {};    // f32, row-major, on the CPU; undefined: depends on the input
  };
  struct Step {
    std::string op;
    std::vector<int> inputs;  // values; kNone where there is none
    Attributes attributes;
    int result = 0;
  };
  static constexpr int kNone = -1;
  static constexpr std::int64_t kBatch = 2;

  std::vector<Value> values;
  std::vector<Step> steps;  // in an order in which they can run; only those that the output needs
  int input = 0;
  int output = 0;

  bool is_constant(int value) const { return value != kNone && values[static_cast<std::size_t>(value)].constant.defined(); }
  Value& operator[](int value) { return values[static_cast<std::size_t>(value)]; }
  const Value& operator[](int value) const { return values[static_cast<std::size_t>(value)]; }
  int add_constant(const std::string& name, const Tensor& constant);
};

// Runs `net` in evaluation mode, without a graph, on images of shape (n, image...) for two n with different numbers, and
// compares: whatever does not depend on the images is a constant, and must be the same in both. So a part that is computed
// out of sight (with Tensors, or the label of a loss) is an error and not a wrong constant. Nothing of `net` changes.
// Throws ValueError, as `op`, where the two runs differ in more than the batch, and where the output is no function of
// the images.
TracedNetwork trace_network(Module& net, const Shape& image, const char* op);

// Each batch_norm that is alone in reading a convolution's result becomes part of it: weight g / sqrt(variance + eps), and a
// bias. Computed in f64.
void fold_batch_norms(TracedNetwork& network);

}  // namespace heft::train
