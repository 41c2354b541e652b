#include <optional>

#include "data/image_pixels.h"

namespace heft::data {

namespace {

// EXIF is a TIFF file without pixels: "II" little-endian or "MM" big-endian, 42, where its first directory is; there the number
// of entries, each a tag, a type, a count and a value of up to 4 bytes.
class Tiff {
 public:
  explicit Tiff(std::span<const std::byte> bytes) : bytes_(bytes) {}

  // Nothing where it is not all there.
  std::optional<std::uint32_t> number(std::uint64_t at, std::uint64_t width) const {
    if (width > bytes_.size() || at > bytes_.size() - width) return std::nullopt;
    std::uint32_t value = 0;
    for (std::uint64_t i = 0; i < width; ++i)
      value = value << 8 | std::to_integer<std::uint32_t>(bytes_[at + (little_ ? width - 1 - i : i)]);
    return value;
  }
  bool is_one() {
    const std::optional<std::uint32_t> order = number(0, 2);
    little_ = order == 0x4949;
    return (little_ || order == 0x4d4d) && number(2, 2) == 42;
  }

 private:
  std::span<const std::byte> bytes_;
  bool little_ = false;
};

}  // namespace

int exif_orientation(std::span<const std::byte> exif) {
  constexpr std::uint32_t kOrientation = 0x0112, kShort = 3;
  constexpr std::uint64_t kEntryBytes = 12;
  Tiff tiff(exif);
  if (!tiff.is_one()) return 1;
  const std::uint64_t directory = tiff.number(4, 4).value_or(0);
  const std::uint64_t entries = tiff.number(directory, 2).value_or(0);  // at most 65535
  for (std::uint64_t i = 0; i < entries; ++i) {
    const std::uint64_t entry = directory + 2 + i * kEntryBytes;
    if (tiff.number(entry, 2) != kOrientation) continue;
    const std::uint32_t value = tiff.number(entry + 8, 2).value_or(0);
    const bool meant = tiff.number(entry + 2, 2) == kShort && tiff.number(entry + 4, 4) == 1 && value >= 1 && value <= 8;
    return meant ? static_cast<int>(value) : 1;
  }
  return 1;
}

void turn_upright(Pixels& pixels, int orientation) {
  if (orientation == 1) return;
  const std::int64_t height = pixels.height, width = pixels.width, channels = pixels.channels;
  const bool transposed = orientation >= 5;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const std::vector<std::uint8_t> stored(pixels.data.get(), pixels.data.get() + height * width * channels);
  const std::int64_t along_row = from_right ? -channels : channels;
  const std::int64_t along_column = from_bottom ? -width * channels : width * channels;
  const std::int64_t corner = ((from_bottom ? height - 1 : 0) * width + (from_right ? width - 1 : 0)) * channels;
  pixels.height = transposed ? width : height;
  pixels.width = transposed ? height : width;
  const std::int64_t down = transposed ? along_row : along_column, right = transposed ? along_column : along_row;
  std::uint8_t* to = pixels.data.get();
  for (std::int64_t y = 0; y < pixels.height; ++y)
    for (std::int64_t x = 0; x < pixels.width; ++x, to += channels) {
      const std::uint8_t* from = stored.data() + corner + y * down + x * right;
      for (std::int64_t c = 0; c < channels; ++c) to[c] = from[c];
    }
}

}  // namespace heft::data
