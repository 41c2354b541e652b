// An ONNX graph as it is built, in the wire format of onnx.proto. Internal to train/.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace heft::train {

// Attributes of a node, as bytes to be put one after the other.
std::string onnx_attribute(const std::string& name, std::int64_t value);
std::string onnx_attribute(const std::string& name, float value);
std::string onnx_attribute(const std::string& name, std::span<const std::int64_t> values);

// All functions that return a name return that of a value in the graph.
class OnnxGraph {
 public:
  // A constant, f32 or i64; the name is as asked for, or that with a number where it is taken.
  std::string constant(const std::string& name, const Tensor& value);
  std::string constant(const std::string& name, const std::vector<std::int64_t>& values);
  // A node with one output. An input "" is one that is left out.
  std::string node(const std::string& type, const std::vector<std::string>& inputs, const std::string& attributes = {});
  // What the graph is given and gives, f32: extents, -1 for the number of samples.
  std::string input(const std::string& name, const std::vector<std::int64_t>& extents);
  void output(const std::string& name, const std::string& value, const std::vector<std::int64_t>& extents);

  // A ModelProto with opset 17 and IR version 8. Throws ValueError beyond 2 GB, the most that protocol buffers hold.
  std::string model(const std::map<std::string, std::string>& metadata) const;

 private:
  std::string free_name(const std::string& wanted);
  std::string nodes_, initializers_, inputs_, outputs_;
  std::set<std::string> taken_;
  std::map<std::string, int> made_;
};

}  // namespace heft::train
