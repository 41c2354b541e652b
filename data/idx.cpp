#include "data/idx.h"

#include <array>
#include <cstdint>
#include <vector>

#include "core/check.h"
#include "core/checked.h"
#include "data/byte_source.h"

namespace heft::data {

namespace {

constexpr const char* kOp = "read_idx";
constexpr std::uint64_t kMaxBytes = std::uint64_t{4} << 30;

std::uint32_t read_u32(ByteSource& source) {
  std::array<std::uint8_t, 4> b{};
  source.read(b.data(), b.size());
  return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | b[3];
}

}  // namespace

Tensor read_idx(const std::filesystem::path& path) {
  ByteSource source(kOp, path);
  const std::uint32_t magic = read_u32(source);
  const std::uint32_t rank = magic & 0xff;
  check<DataError>((magic >> 8) == 0x08 && rank >= 1 && rank <= 4, kOp,
                   "expected magic number 0x00000801 to 0x00000804 (unsigned bytes, 1 to 4 axes); {} starts with {:#010x}",
                   source.name(), magic);
  std::vector<std::int64_t> extents;
  for (std::uint32_t axis = 0; axis < rank; ++axis) extents.push_back(read_u32(source));
  const std::optional<std::uint64_t> bytes = checked_bytes(extents, 1);
  check<DataError>(bytes && *bytes <= kMaxBytes, kOp, "expected at most {} bytes of data; the header of {} claims ({})",
                   kMaxBytes, source.name(), fmt::join(extents, ", "));
  const std::uint64_t present = source.remaining(*bytes + 1);
  check<DataError>(present == *bytes, kOp, "expected {} bytes after the header, shape ({}); {} holds {}", *bytes,
                   fmt::join(extents, ", "), source.name(),
                   present < *bytes ? fmt::format("only {}", present) : std::string("more"));
  Tensor out = Tensor::empty(Shape(extents), DType::u8);
  source.read(out.mutable_raw(), *bytes);
  return out;
}

}  // namespace heft::data
