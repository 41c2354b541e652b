#include "data/npy.h"

#include <array>
#include <bit>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/checked.h"
#include "data/byte_source.h"

namespace heft::data {

namespace {

static_assert(std::endian::native == std::endian::little, ".npy data is copied as it lies in memory");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::uint64_t kMaxHeader = 10000;
constexpr std::size_t kAlignment = 64;

constexpr std::array<std::pair<std::string_view, DType>, 6> kTypes{{{"<f4", DType::f32},
                                                                    {"<f8", DType::f64},
                                                                    {"<i4", DType::i32},
                                                                    {"<i8", DType::i64},
                                                                    {"|u1", DType::u8},
                                                                    {"|b1", DType::boolean}}};

struct Header {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;
};

// The header is the text of a Python dictionary. This takes exactly the three keys NumPy writes, in any order.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {}

  Header parse() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr" && !header.descr) header.descr = string();
      else if (key == "fortran_order" && !header.fortran_order) header.fortran_order = boolean();
      else if (key == "shape" && !header.shape) header.shape = tuple();
      else bad("each of the keys descr, fortran_order and shape once");
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (!text_.empty()) bad("nothing after the dictionary");
    if (!header.descr || !header.fortran_order || !header.shape) bad("the keys descr, fortran_order and shape");
    return header;
  }

 private:
  [[noreturn]] void bad(std::string_view expected) const {
    fail<DataError>("read_npy", "expected {} in the header; {} has \"{}\"", expected, file_, text_.substr(0, 40));
  }
  void skip_space() { text_.remove_prefix(std::min(text_.find_first_not_of(" \n"), text_.size())); }
  bool accept(char c) {
    skip_space();
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool accept(std::string_view word) {
    skip_space();
    if (!text_.starts_with(word)) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  void expect(char c) {
    if (!accept(c)) bad(std::string_view(&c, 1));
  }
  std::string string() {
    const char quote = accept('\'') ? '\'' : '"';
    if (quote == '"' && !accept('"')) bad("a string");
    const std::size_t end = text_.find(quote);
    if (end == std::string_view::npos) bad("a closing quote");
    std::string value(text_.substr(0, end));
    text_.remove_prefix(end + 1);
    return value;
  }
  bool boolean() {
    if (accept("True")) return true;
    if (!accept("False")) bad("True or False");
    return false;
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> values;
    expect('(');
    while (!accept(')')) {
      skip_space();
      std::int64_t value = -1;
      const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
      if (error != std::errc() || value < 0) bad("an extent from 0 to 2^63 - 1");
      text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
      values.push_back(value);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return values;
  }

  std::string_view text_;
  std::string file_;
};

std::string read_header(ByteSource& source) {
  std::array<char, 8> start{};
  source.read(start.data(), start.size());
  check<DataError>(std::string_view(start.data(), kMagic.size()) == kMagic, source.op(),
                   "expected a .npy file (\\x93NUMPY); {} starts otherwise", source.name());
  const int major = static_cast<unsigned char>(start[6]);
  check<DataError>(major >= 1 && major <= 3 && start[7] == 0, source.op(),
                   "expected .npy version 1.0, 2.0 or 3.0; {} has {}.{}", source.name(), major,
                   static_cast<unsigned char>(start[7]));
  std::array<std::uint8_t, 4> b{};
  source.read(b.data(), major == 1 ? 2 : 4);
  const std::uint64_t length =
      std::uint64_t{b[0]} | std::uint64_t{b[1]} << 8 | std::uint64_t{b[2]} << 16 | std::uint64_t{b[3]} << 24;
  check<DataError>(length <= kMaxHeader, source.op(), "expected a header of at most {} characters; {} claims {}", kMaxHeader,
                   source.name(), length);
  std::string text(length, '\0');
  source.read(text.data(), length);
  return text;
}

}  // namespace

Tensor read_npy(const std::filesystem::path& path) {
  ByteSource source("read_npy", path);
  const std::string text = read_header(source);
  const Header header = HeaderParser(text, source.name()).parse();
  std::optional<DType> dtype;
  for (const auto& [descr, type] : kTypes)
    if (descr == *header.descr) dtype = type;
  check<DataError>(dtype.has_value(), source.op(), "expected element type <f4, <f8, <i4, <i8, |u1 or |b1; {} has {}",
                   source.name(), *header.descr);
  check<DataError>(!*header.fortran_order, source.op(),
                   "expected C order; {} is in Fortran order (write it with numpy.ascontiguousarray)", source.name());
  check<DataError>(header.shape->size() <= Shape::kMaxRank, source.op(), "expected at most {} axes; {} has {}", Shape::kMaxRank,
                   source.name(), header.shape->size());
  const std::optional<std::uint64_t> bytes = checked_bytes(*header.shape, size_of(*dtype));
  check<DataError>(bytes.has_value(), source.op(), "expected a size below 2^63 bytes; {} claims shape ({})", source.name(),
                   fmt::join(*header.shape, ", "));
  const std::uint64_t present = source.remaining(*bytes + 1);
  check<DataError>(present == *bytes, source.op(), "expected {} bytes after the header, shape ({}); {} holds {}", *bytes,
                   fmt::join(*header.shape, ", "), source.name(),
                   present < *bytes ? fmt::format("only {}", present) : std::string("more"));
  // Bytes other than 0 and 1 are true to NumPy and undefined behaviour in a C++ bool.
  Tensor out = Tensor::empty(Shape(*header.shape), *dtype == DType::boolean ? DType::u8 : *dtype);
  source.read(out.mutable_raw(), *bytes);
  return *dtype == DType::boolean ? out.astype(DType::boolean) : out;
}

void write_npy(const std::filesystem::path& path, const Tensor& tensor) {
  constexpr const char* kOp = "write_npy";
  check<ValueError>(tensor.defined(), kOp, "expected a tensor; got an undefined one for {}", path.string());
  const Tensor values = tensor.to(Device::cpu()).contiguous();
  std::string_view descr;
  for (const auto& [name, type] : kTypes)
    if (type == values.dtype()) descr = name;
  const Shape& shape = values.shape();
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", descr,
                                   fmt::join(shape, ", "), shape.rank() == 1 ? "," : "");
  constexpr std::size_t kPrefix = 10;  // magic, version, length
  header.append(kAlignment - 1 - (kPrefix + header.size()) % kAlignment, ' ');
  header.push_back('\n');

  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  check<WriteError>(file.is_open(), kOp, "cannot open {} for writing", path.string());
  file << kMagic << '\x01' << '\0' << static_cast<char>(header.size() & 0xff) << static_cast<char>(header.size() >> 8)
       << header;
  file.write(static_cast<const char*>(values.raw()),
             static_cast<std::streamsize>(static_cast<std::size_t>(values.numel()) * size_of(values.dtype())));
  file.close();
  check<WriteError>(!file.fail(), kOp, "cannot write all of {}", path.string());
}

}  // namespace heft::data
