// Protocol buffers and ONNX models read back, for tests: written from onnx.proto, apart from the writer.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace heft::test {

struct ProtoField {
  int number = 0;
  std::uint64_t value = 0;  // of a varint, or the bits of a float
  std::string bytes;        // of what has a length
};

inline std::vector<ProtoField> proto_fields(const std::string& message) {
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(message.at(at++));
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
  };
  std::vector<ProtoField> fields;
  while (at < message.size()) {
    const std::uint64_t key = varint();
    ProtoField field{.number = static_cast<int>(key >> 3), .value = 0, .bytes = {}};
    if ((key & 7) == 0) field.value = varint();
    else if ((key & 7) == 2 || (key & 7) == 5) {
      const std::uint64_t length = (key & 7) == 5 ? 4 : varint();
      if (length > message.size() - at) throw std::runtime_error("a field beyond its message");
      field.bytes = message.substr(at, length);
      at += length;
    } else throw std::runtime_error("a wire type that ONNX has no use for");
    fields.push_back(std::move(field));
  }
  return fields;
}

inline std::vector<ProtoField> all_of(const std::vector<ProtoField>& fields, int number) {
  std::vector<ProtoField> found;
  for (const ProtoField& field : fields)
    if (field.number == number) found.push_back(field);
  return found;
}
inline ProtoField one_of(const std::vector<ProtoField>& fields, int number) {
  const std::vector<ProtoField> found = all_of(fields, number);
  if (found.size() != 1) throw std::runtime_error("expected field " + std::to_string(number) + " once");
  return found.front();
}

struct OnnxNode {
  std::string type;
  std::vector<std::string> inputs;
  std::string output;
  std::map<std::string, std::vector<std::int64_t>> integers;  // attributes of the types INT and INTS
  std::map<std::string, float> floats;
};
struct OnnxTensor {
  std::vector<std::int64_t> shape;
  std::int64_t type = 0;  // 1 f32, 7 i64
  std::string raw;
  std::vector<float> numbers() const {
    std::vector<float> all(raw.size() / sizeof(float));
    std::memcpy(all.data(), raw.data(), raw.size());
    return all;
  }
};
struct OnnxModel {
  std::int64_t ir_version = 0, opset = 0;
  std::vector<OnnxNode> nodes;
  std::map<std::string, OnnxTensor> constants;
  std::string input, output;
  std::vector<std::string> input_extents, output_extents;  // numbers, or names of free ones
  std::map<std::string, std::string> metadata;

  std::vector<std::string> types() const {
    std::vector<std::string> all;
    for (const OnnxNode& node : nodes) all.push_back(node.type);
    return all;
  }
  const OnnxNode& first(const std::string& type) const {
    for (const OnnxNode& node : nodes)
      if (node.type == type) return node;
    throw std::runtime_error("no node " + type);
  }
};

inline std::vector<std::string> onnx_extents(const std::vector<ProtoField>& value_info) {
  const auto tensor = proto_fields(one_of(proto_fields(one_of(value_info, 2).bytes), 1).bytes);
  if (one_of(tensor, 1).value != 1) throw std::runtime_error("expected a value of f32");
  std::vector<std::string> extents;
  for (const ProtoField& dimension : all_of(proto_fields(one_of(tensor, 2).bytes), 1)) {
    const auto fields = proto_fields(dimension.bytes);
    extents.push_back(all_of(fields, 2).empty() ? std::to_string(one_of(fields, 1).value) : one_of(fields, 2).bytes);
  }
  return extents;
}

inline OnnxModel read_onnx(const std::string& bytes) {
  const auto model = proto_fields(bytes);
  OnnxModel result;
  result.ir_version = static_cast<std::int64_t>(one_of(model, 1).value);
  result.opset = static_cast<std::int64_t>(one_of(proto_fields(one_of(model, 8).bytes), 2).value);
  for (const ProtoField& entry : all_of(model, 14)) {
    const auto pair = proto_fields(entry.bytes);
    result.metadata[one_of(pair, 1).bytes] = one_of(pair, 2).bytes;
  }
  const auto graph = proto_fields(one_of(model, 7).bytes);
  for (const ProtoField& entry : all_of(graph, 1)) {
    const auto fields = proto_fields(entry.bytes);
    OnnxNode node{
        .type = one_of(fields, 4).bytes, .inputs = {}, .output = one_of(fields, 2).bytes, .integers = {}, .floats = {}};
    for (const ProtoField& input : all_of(fields, 1)) node.inputs.push_back(input.bytes);
    for (const ProtoField& one : all_of(fields, 5)) {
      const auto attribute = proto_fields(one.bytes);
      const std::string name = one_of(attribute, 1).bytes;
      const std::uint64_t type = one_of(attribute, 20).value;
      if (type == 1) std::memcpy(&node.floats[name], one_of(attribute, 2).bytes.data(), sizeof(float));
      else if (type == 2) node.integers[name] = {static_cast<std::int64_t>(one_of(attribute, 3).value)};
      else if (type != 7) throw std::runtime_error("an attribute of another type");
      else
        for (const ProtoField& number : all_of(attribute, 8))
          node.integers[name].push_back(static_cast<std::int64_t>(number.value));
    }
    result.nodes.push_back(std::move(node));
  }
  for (const ProtoField& entry : all_of(graph, 5)) {
    const auto fields = proto_fields(entry.bytes);
    OnnxTensor& tensor = result.constants[one_of(fields, 8).bytes];
    for (const ProtoField& extent : all_of(fields, 1)) tensor.shape.push_back(static_cast<std::int64_t>(extent.value));
    tensor.type = static_cast<std::int64_t>(one_of(fields, 2).value);
    tensor.raw = one_of(fields, 9).bytes;
  }
  const auto input = proto_fields(one_of(graph, 11).bytes), output = proto_fields(one_of(graph, 12).bytes);
  result.input = one_of(input, 1).bytes;
  result.output = one_of(output, 1).bytes;
  result.input_extents = onnx_extents(input);
  result.output_extents = onnx_extents(output);
  return result;
}

}  // namespace heft::test
