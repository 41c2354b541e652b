#include "train/onnx_graph.h"

#include <bit>

#include "core/check.h"
#include "train/protobuf.h"

namespace heft::train {
namespace {

static_assert(std::endian::native == std::endian::little, "raw_data of ONNX is little-endian");

using Text = std::string_view;

// onnx.proto: AttributeProto.type, TensorProto.data_type.
enum : std::int64_t { kAttributeFloat = 1, kAttributeInt = 2, kAttributeInts = 7, kFloat = 1, kInt64 = 7 };
constexpr std::int64_t kIrVersion = 8, kOpset = 17;

std::string attribute(const std::string& name, const std::string& value, std::int64_t type) {
  return field(5, Text(field(1, Text(name)) + value + field(20, type)));
}

// ValueInfoProto: name, and a tensor type of f32 with dimensions.
std::string value_info(const std::string& name, const std::vector<std::int64_t>& extents) {
  std::string shape;
  for (const std::int64_t extent : extents) shape += field(1, Text(extent < 0 ? field(2, Text("N")) : field(1, extent)));
  const std::string tensor = field(1, std::int64_t{kFloat}) + field(2, Text(shape));
  return field(1, Text(name)) + field(2, Text(field(1, Text(tensor))));
}

}  // namespace

std::string onnx_attribute(const std::string& name, std::int64_t value) {
  return attribute(name, field(3, value), kAttributeInt);
}
std::string onnx_attribute(const std::string& name, float value) { return attribute(name, field(2, value), kAttributeFloat); }
std::string onnx_attribute(const std::string& name, std::span<const std::int64_t> values) {
  std::string all;
  for (const std::int64_t value : values) all += field(8, value);
  return attribute(name, all, kAttributeInts);
}

std::string OnnxGraph::free_name(const std::string& wanted) {
  std::string name = wanted;
  for (int& made = made_[wanted]; !taken_.insert(name).second;) name = fmt::format("{}_{}", wanted, ++made);
  return name;
}

std::string OnnxGraph::constant(const std::string& name, const Tensor& value) {
  check(value.dtype() == DType::f32 || value.dtype() == DType::i64, "export_onnx",
        "expected constants of f32 or i64; '{}' has {}", name, value.dtype());
  const std::string taken = free_name(name.empty() ? "constant" : name);
  std::string tensor;
  for (const std::int64_t extent : value.shape()) tensor += field(1, extent);
  tensor += field(2, std::int64_t{value.dtype() == DType::f32 ? kFloat : kInt64}) + field(8, Text(taken));
  const auto bytes = static_cast<std::size_t>(value.numel()) * size_of(value.dtype());
  tensor += field(9, Text(static_cast<const char*>(value.raw()), bytes));
  initializers_ += field(5, Text(tensor));
  return taken;
}

std::string OnnxGraph::constant(const std::string& name, const std::vector<std::int64_t>& values) {
  return constant(name, Tensor::from(values));
}

std::string OnnxGraph::node(const std::string& type, const std::vector<std::string>& inputs, const std::string& attributes) {
  const std::string name = free_name(type);
  std::string node;
  for (const std::string& input : inputs) node += field(1, Text(input));
  node += field(2, Text(name)) + field(3, Text(name)) + field(4, Text(type)) + attributes;
  nodes_ += field(1, Text(node));
  return name;
}

std::string OnnxGraph::input(const std::string& name, const std::vector<std::int64_t>& extents) {
  inputs_ += field(11, Text(value_info(free_name(name), extents)));
  return name;
}

void OnnxGraph::output(const std::string& name, const std::string& value, const std::vector<std::int64_t>& extents) {
  // Its name is ours to choose, and not that of a node.
  const std::string taken = free_name(name);
  std::string node = field(1, Text(value)) + field(2, Text(taken)) + field(3, Text(taken)) + field(4, Text("Identity"));
  nodes_ += field(1, Text(node));
  outputs_ += field(12, Text(value_info(taken, extents)));
}

std::string OnnxGraph::model(const std::map<std::string, std::string>& metadata) const {
  const std::string graph = nodes_ + field(2, Text("heft")) + initializers_ + inputs_ + outputs_;
  std::string all = field(1, kIrVersion) + field(2, Text("heft")) + field(7, Text(graph)) +
                    field(8, Text(field(1, Text("")) + field(2, kOpset)));
  for (const auto& [key, value] : metadata) all += field(14, Text(field(1, Text(key)) + field(2, Text(value))));
  check(all.size() < (std::size_t{1} << 31), "export_onnx", "expected a network of less than 2 GB; it has {} bytes",
        all.size());
  return all;
}

}  // namespace heft::train
