#include "train/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.h"
#include "train/atomic_file.h"
#include "train/checksum.h"

namespace heft::train {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

using Json = nlohmann::json;
using Extent = std::uint64_t;

constexpr const char* kRead = "read_safetensors";
constexpr const char* kWrite = "write_safetensors";
constexpr const char* kMetadata = "__metadata__";
constexpr Extent kMaxExtent = Extent{1} << 40;

float from_half(std::uint16_t half) {
  constexpr std::uint32_t kBiasDifference = 127 - 15;
  const std::uint32_t sign = std::uint32_t{half} >> 15 << 31, exponent = half >> 10 & 31u, fraction = half & 1023u;
  if (exponent == 0) return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(static_cast<float>(fraction) * 0x1p-24f));
  return std::bit_cast<float>(sign | (exponent == 31 ? 255u : exponent + kBiasDifference) << 23 | fraction << 13);
}
float from_bfloat16(std::uint16_t upper) { return std::bit_cast<float>(std::uint32_t{upper} << 16); }

// How values lie in a file, and as what they are held: `widen` makes them of 2 bytes each.
struct NamedDType {
  std::string_view name;
  DType dtype;
  float (*widen)(std::uint16_t) = nullptr;
  std::size_t bytes() const { return widen != nullptr ? 2 : size_of(dtype); }
};
constexpr std::array<NamedDType, 8> kDTypes{{{"F32", DType::f32},
                                             {"F64", DType::f64},
                                             {"F16", DType::f32, from_half},
                                             {"BF16", DType::f32, from_bfloat16},
                                             {"I32", DType::i32},
                                             {"I64", DType::i64},
                                             {"U8", DType::u8},
                                             {"BOOL", DType::boolean}}};

const NamedDType* dtype_from(std::string_view name) {
  const auto* known = std::find_if(kDTypes.begin(), kDTypes.end(), [&](const NamedDType& one) { return one.name == name; });
  return known == kDTypes.end() ? nullptr : known;
}

std::string_view name_in_file(DType dtype) {
  return std::find_if(kDTypes.begin(), kDTypes.end(), [dtype](const NamedDType& known) { return known.dtype == dtype; })->name;
}

// A tensor's entry in the header, checked in itself.
struct Entry {
  std::string name;
  NamedDType type;
  Shape shape;
  Extent begin;
  Extent end;
};

// Text from a file, safe and short enough to print.
std::string quoted(const std::string& name) {
  std::string text = "'";
  for (const char c : name.substr(0, 80)) text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return text + (name.size() > 80 ? "...'" : "'");
}

// Looks at a header before it becomes values, which take many times its bytes, and refuses what none has: names that come
// twice, long lists, and depth. Not by Json::parse's callback, with which the time to parse grows with the square of the names.
class HeaderWatch : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderWatch(const std::string& path) : path_(path) {}

  bool null() override { return value(); }
  bool boolean(bool) override { return value(); }
  bool number_integer(std::int64_t) override { return value(); }
  bool number_unsigned(std::uint64_t) override { return value(); }
  bool number_float(double, const std::string&) override { return value(); }
  bool string(std::string&) override { return value(); }
  bool binary(Json::binary_t&) override { return value(); }
  bool start_object(std::size_t) override {
    keys_.emplace_back();
    return check_depth(keys_.size() <= kMaxObjects && !in_list_);
  }
  bool end_object() override {
    keys_.pop_back();
    return true;
  }
  bool start_array(std::size_t) override {
    check_depth(keys_.size() == kMaxObjects && !in_list_);
    in_list_ = true;
    values_ = 0;
    return true;
  }
  bool end_array() override {
    in_list_ = false;
    return true;
  }
  bool key(std::string& name) override {
    name_ = name;
    check<DataError>(keys_.back().insert(name_).second, kRead, "expected every name once in the header of {}; {} comes twice",
                     path_, last_name());
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    fail<DataError>(kRead, "expected a JSON header in {}; the parser says: {}", path_, error.what());
  }

 private:
  static constexpr std::size_t kMaxObjects = 2;  // the header and a tensor's entry, in which lists may be
  static constexpr std::size_t kMaxValues = 2 * Shape::kMaxRank;

  std::string last_name() const { return quoted(name_); }
  bool check_depth(bool good) const {
    check<DataError>(good, kRead, "expected objects of objects of lists in the header of {}; {} is more levels deep or fewer",
                     path_, last_name());
    return true;
  }
  bool value() {
    check<DataError>(!in_list_ || ++values_ <= kMaxValues, kRead,
                     "expected lists of at most {} values in the header of {}; {} is longer", kMaxValues, path_, last_name());
    return true;
  }

  const std::string& path_;
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
  std::string name_;                         // the last
  std::size_t values_ = 0;
  bool in_list_ = false;
};

Json parse_header(const std::string& path, const std::string& text) {
  check<DataError>(text.starts_with('{'), kRead, "expected {} to hold a JSON object after its first 8 bytes; it does not",
                   path);
  HeaderWatch watch(path);
  Json::sax_parse(text, &watch);
  return Json::parse(text);
}

std::vector<Extent> integers(const std::string& path, const std::string& name, const Json& entry, const char* key) {
  const auto refuse = [&] {
    fail<DataError>(kRead, "{}: tensor {}: expected '{}' to be a list of non-negative integers; it is not", path, quoted(name),
                    key);
  };
  if (!entry.is_object() || !entry.contains(key) || !entry[key].is_array()) refuse();
  std::vector<Extent> values;
  for (const Json& value : entry[key]) {
    if (!value.is_number_unsigned()) refuse();
    values.push_back(value.get<Extent>());
  }
  return values;
}

Entry read_entry(const std::string& path, const std::string& name, const Json& json) {
  check<DataError>(name.size() <= kMaxNameBytes && name.find('\0') == std::string::npos, kRead,
                   "{}: expected tensor names of at most {} bytes without NUL; got {}", path, kMaxNameBytes, quoted(name));
  const std::vector<Extent> shape = integers(path, name, json, "shape");
  const std::vector<Extent> offsets = integers(path, name, json, "data_offsets");
  check<DataError>(json.contains("dtype") && json["dtype"].is_string(), kRead,
                   "{}: tensor {}: expected a 'dtype'; there is none", path, quoted(name));
  const std::string type = json["dtype"].get<std::string>();
  const NamedDType* dtype = dtype_from(type);
  check<DataError>(dtype != nullptr, kRead, "{}: tensor {}: expected dtype F32, F64, F16, BF16, I32, I64, U8 or BOOL; got {}",
                   path, quoted(name), quoted(type));
  check<DataError>(shape.size() <= Shape::kMaxRank, kRead, "{}: tensor {}: expected at most {} axes; got {}", path,
                   quoted(name), Shape::kMaxRank, shape.size());
  check<DataError>(offsets.size() == 2 && offsets[0] <= offsets[1], kRead,
                   "{}: tensor {}: expected data_offsets [begin, end] with begin <= end; got [{}]", path, quoted(name),
                   fmt::join(offsets, ", "));
  // An extent of 0 must not hide the others: strides are products of them.
  std::int64_t volume = static_cast<std::int64_t>(size_of(dtype->dtype));
  bool fits = true;
  for (const Extent extent : shape)
    fits = fits && extent <= kMaxExtent &&
           !__builtin_mul_overflow(volume, std::max<std::int64_t>(1, static_cast<std::int64_t>(extent)), &volume);
  check<DataError>(fits, kRead, "{}: tensor {}: expected a shape that fits in memory; got ({})", path, quoted(name),
                   fmt::join(shape, ", "));
  const bool is_empty = std::find(shape.begin(), shape.end(), 0u) != shape.end();
  const Extent bytes = is_empty ? 0 : static_cast<Extent>(volume) / size_of(dtype->dtype) * dtype->bytes();
  check<DataError>(bytes == offsets[1] - offsets[0], kRead,
                   "{}: tensor {}: expected {} bytes for {} of shape ({}); its offsets span {}", path, quoted(name), bytes,
                   dtype->name, fmt::join(shape, ", "), offsets[1] - offsets[0]);
  const std::vector<std::int64_t> extents(shape.begin(), shape.end());
  return Entry{name, *dtype, Shape(extents), offsets[0], offsets[1]};
}

// In the order of the file, each starting where the one before it ended.
std::vector<Entry> read_entries(const std::string& path, const Json& header, Extent payload) {
  check<DataError>(header.size() <= kMaxTensors, kRead, "{}: expected at most {} tensors; got {}", path, kMaxTensors,
                   header.size());
  std::vector<Entry> entries;
  for (const auto& item : header.items())
    if (item.key() != kMetadata) entries.push_back(read_entry(path, item.key(), item.value()));
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  Extent next = 0;
  for (const Entry& entry : entries) {
    check<DataError>(entry.begin == next, kRead,
                     "{}: tensor {}: expected its values to start at byte {}, where the one before ends; got {}", path,
                     quoted(entry.name), next, entry.begin);
    next = entry.end;
  }
  check<DataError>(next == payload, kRead, "expected {} to hold {} bytes of values, as its header says; it holds {} ({})", path,
                   next, payload, payload < next ? "truncated" : "trailing bytes");
  return entries;
}

std::map<std::string, std::string> read_metadata(const std::string& path, const Json& header) {
  std::map<std::string, std::string> metadata;
  if (!header.contains(kMetadata)) return metadata;
  const Json& json = header[kMetadata];
  check<DataError>(json.is_object(), kRead, "expected __metadata__ of {} to be an object; it is not", path);
  check<DataError>(json.size() <= kMaxTensors, kRead, "expected at most {} entries of __metadata__ in {}; there are {}",
                   kMaxTensors, path, json.size());
  for (const auto& item : json.items()) {
    check<DataError>(item.value().is_string(), kRead, "{}: expected metadata {} to be a string; it is not", path,
                     quoted(item.key()));
    metadata[item.key()] = item.value().get<std::string>();
  }
  return metadata;
}

// As they are in the file.
void read_bytes(std::ifstream& file, const std::string& path, const Entry& entry, void* to) {
  const auto bytes = static_cast<std::streamsize>(entry.end - entry.begin);
  file.read(static_cast<char*>(to), bytes);
  check<DataError>(file.gcount() == bytes, kRead, "{}: tensor {}: expected {} bytes; the file gave {}", path,
                   quoted(entry.name), bytes, file.gcount());
}

// `sum`: their checksum; null where the file has none.
Tensor read_values(std::ifstream& file, const std::string& path, const Entry& entry, const std::uint32_t* sum) {
  Tensor values = Tensor::empty(entry.shape, entry.type.dtype);
  const Extent bytes = entry.end - entry.begin;
  std::vector<std::uint16_t> narrow(entry.type.widen != nullptr ? static_cast<std::size_t>(values.numel()) : 0);
  void* stored = entry.type.widen != nullptr ? narrow.data() : values.mutable_raw();
  if (bytes > 0) read_bytes(file, path, entry, stored);
  check<DataError>(sum == nullptr || checksum::of(stored, bytes) == *sum, kRead,
                   "{}: tensor {}: expected the values that its checksum is of; the file is damaged there", path,
                   quoted(entry.name));
  if (entry.type.dtype == DType::boolean) {
    const auto* first = static_cast<const std::uint8_t*>(stored);
    check<DataError>(std::all_of(first, first + bytes, [](std::uint8_t b) { return b <= 1; }), kRead,
                     "{}: tensor {}: expected a BOOL to be 0 or 1; there are other values", path, quoted(entry.name));
  }
  if (entry.type.widen != nullptr) std::transform(narrow.begin(), narrow.end(), values.mutable_data<float>(), entry.type.widen);
  return values;
}

// Those of the header and of each tensor, of which the first holds; none where there is no checksum.
std::vector<std::uint32_t> read_checksum(const std::string& path, std::string text,
                                         const std::map<std::string, std::string>& metadata, std::size_t tensors) {
  const auto entry = metadata.find(kChecksum);
  if (entry == metadata.end()) return {};
  const std::string zeros = checksum::no_digits(tensors);
  const std::vector<std::uint32_t> sums = checksum::read_digits(entry->second);
  const std::optional<std::size_t> at = checksum::find(text, zeros.size());
  const bool is_one = sums.size() == tensors + 1 && at && text.compare(*at, zeros.size(), entry->second) == 0;
  if (is_one) text.replace(*at, zeros.size(), zeros);
  check<DataError>(is_one && checksum::of_header(text) == sums[0], kRead,
                   "expected the header of {} that its checksum is of; the file is damaged there", path);
  return sums;
}

void check_writable(const SafeTensors& contents) {
  check<ValueError>(contents.metadata.count(kChecksum) == 0, kWrite, "expected metadata without {}, which is the file's own",
                    kChecksum);
  check<ValueError>(contents.tensors.size() <= kMaxTensors && contents.metadata.size() < kMaxTensors, kWrite,
                    "expected at most {} tensors and fewer entries of metadata; got {} and {}", kMaxTensors,
                    contents.tensors.size(), contents.metadata.size());
  for (const auto& [name, tensor] : contents.tensors) {
    check<ValueError>(name != kMetadata && name.size() <= kMaxNameBytes && name.find('\0') == std::string::npos, kWrite,
                      "expected a name other than {}, of at most {} bytes without NUL; got {}", kMetadata, kMaxNameBytes,
                      quoted(name));
    check<ValueError>(tensor.defined(), kWrite, "expected a tensor under {}; it is undefined", quoted(name));
  }
}

}  // namespace

void write_safetensors(const std::string& path, const SafeTensors& contents) {
  check_writable(contents);
  std::vector<std::pair<std::string, Tensor>> sorted;
  for (const auto& [name, tensor] : contents.tensors) sorted.emplace_back(name, tensor.to(Device::cpu()).contiguous());
  // Widest elements first keeps every value aligned; the map has sorted the names.
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return size_of(a.second.dtype()) > size_of(b.second.dtype()); });
  Json header = Json::object();
  if (!contents.metadata.empty()) header[kMetadata] = contents.metadata;
  if (contents.checksummed) header[kMetadata][kChecksum] = checksum::no_digits(sorted.size());
  Extent offset = 0;
  const auto bytes_of = [](const Tensor& t) { return static_cast<Extent>(t.numel()) * size_of(t.dtype()); };
  for (const auto& [name, tensor] : sorted) {
    const Extent begin = offset;
    offset += bytes_of(tensor);
    header[name] = {{"dtype", name_in_file(tensor.dtype())},
                    {"shape", std::vector<std::int64_t>(tensor.shape().begin(), tensor.shape().end())},
                    {"data_offsets", {begin, offset}}};
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception& error) {
    fail<ValueError>(kWrite, "expected names and metadata in UTF-8; {}", error.what());
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  check<ValueError>(text.size() <= kMaxHeaderBytes, kWrite, "expected a header of at most {} bytes; it has {}", kMaxHeaderBytes,
                    text.size());
  const Extent length = text.size();
  if (contents.checksummed) {
    std::vector<std::uint32_t> sums{checksum::of_header(text)};
    for (const auto& [name, tensor] : sorted) sums.push_back(checksum::of(tensor.raw(), bytes_of(tensor)));
    const std::string digits = checksum::digits(sums);
    text.replace(checksum::find(text, digits.size()).value(), digits.size(), digits);
  }
  write_atomically(path, [&](const Sink& sink) {
    sink(&length, sizeof length);
    sink(text.data(), text.size());
    for (const auto& [name, tensor] : sorted)
      if (tensor.numel() > 0) sink(tensor.raw(), bytes_of(tensor));
  });
}

SafeTensors read_safetensors(const std::string& path) {
  check<DataError>(std::filesystem::is_regular_file(path), kRead, "expected a file at {}; there is none", path);
  std::ifstream file(path, std::ios::binary);
  file.seekg(0, std::ios::end);
  const auto end = file.tellg();
  file.seekg(0);
  check<DataError>(file.good() && end >= 0, kRead, "expected to read {}; it cannot be opened", path);
  const auto size = static_cast<Extent>(end);
  Extent length = 0;
  check<DataError>(size >= sizeof length, kRead, "expected {} to start with an 8-byte header length; it has {} bytes", path,
                   size);
  file.read(reinterpret_cast<char*>(&length), sizeof length);
  check<DataError>(
      length <= kMaxHeaderBytes && length <= size - sizeof length, kRead,
      "expected a safetensors file, with a header within it and at most {} bytes long; {} begins with a length of {} "
      "and has {} bytes",
      kMaxHeaderBytes, path, length, size);
  std::string text(length, '\0');
  file.read(text.data(), static_cast<std::streamsize>(length));
  check<DataError>(file.good() || length == 0, kRead, "expected {} bytes of header in {}; the file gave fewer", length, path);
  const Json header = parse_header(path, text);
  SafeTensors contents;
  contents.metadata = read_metadata(path, header);
  const std::vector<Entry> entries = read_entries(path, header, size - sizeof length - length);
  const std::vector<std::uint32_t> sums = read_checksum(path, text, contents.metadata, entries.size());
  contents.checksummed = !sums.empty();
  contents.metadata.erase(kChecksum);
  for (std::size_t i = 0; i < entries.size(); ++i)
    contents.tensors[entries[i].name] = read_values(file, path, entries[i], sums.empty() ? nullptr : &sums[i + 1]);
  return contents;
}

}  // namespace heft::train
