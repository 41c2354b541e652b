#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "core/check.h"
#include "core/checked.h"
#include "data/image_pixels.h"

namespace heft::data {

namespace {

using Bytes = std::span<const std::byte>;

constexpr std::string_view kPngStart = "\x89PNG\r\n\x1a\n", kJpegStart = "\xff\xd8\xff";
// More scans than any encoder writes; each may cost the time of a whole image and almost no bytes.
constexpr int kMostScans = 100;

bool starts_with(Bytes bytes, std::string_view start, std::size_t at = 0) {
  return bytes.size() >= at + start.size() && std::memcmp(bytes.data() + at, start.data(), start.size()) == 0;
}

// What it is that is neither a PNG nor a JPEG.
std::string kind_of(Bytes bytes) {
  struct Kind {
    std::string_view start;
    std::size_t at;
    const char* name;
  };
  constexpr std::array<Kind, 8> kKinds{{{"GIF8", 0, "a GIF"},
                                        {"WEBP", 8, "a WebP"},
                                        {"BM", 0, "a BMP"},
                                        {{"II*\0", 4}, 0, "a TIFF"},
                                        {{"MM\0*", 4}, 0, "a TIFF"},
                                        {"ftyp", 4, "a HEIF, AVIF or video"},
                                        {"\x1f\x8b", 0, "gzip-compressed"},
                                        {"<svg", 0, "an SVG"}}};
  if (bytes.empty()) return "empty";
  for (const Kind& kind : kKinds)
    if (starts_with(bytes, kind.start, kind.at)) return kind.name;
  const Bytes start = bytes.first(std::min<std::size_t>(bytes.size(), 64));
  const bool text = std::all_of(start.begin(), start.end(), [](std::byte byte) {
    const auto c = std::to_integer<unsigned>(byte);
    return c == '\t' || c == '\n' || c == '\r' || (c >= ' ' && c != 127);
  });
  return text ? "a text" : "of an unknown kind";
}

// Reads numbers front to back; what is not there any more is a truncated file.
class Cursor {
 public:
  Cursor(const char* op, Bytes bytes, const std::string& name, const char* format)
      : op_(op), bytes_(bytes), name_(name), format_(format) {}

  std::size_t at = 0;

  std::uint32_t number(std::size_t width) {
    std::uint32_t value = 0;
    for (const std::byte byte : take(width)) value = value << 8 | std::to_integer<std::uint32_t>(byte);
    return value;
  }
  Bytes take(std::size_t count) {
    check<DataError>(count <= bytes_.size() - at, op_, "expected a whole {}; {} is truncated", format_, name_);
    at += count;
    return bytes_.subspan(at - count, count);
  }
  // To the next byte `value`, which is not taken, or to the end.
  void seek(std::byte value) {
    const void* found = std::memchr(bytes_.data() + at, std::to_integer<int>(value), bytes_.size() - at);
    at = found == nullptr ? bytes_.size() : static_cast<std::size_t>(static_cast<const std::byte*>(found) - bytes_.data());
  }
  template <class... Args>
  [[noreturn]] void damaged(fmt::format_string<Args...> why, Args&&... args) const {
    fail<DataError>(op_, "expected a whole {}; {} is damaged: {}", format_, name_,
                    fmt::format(why, std::forward<Args>(args)...));
  }

 private:
  const char* op_;
  Bytes bytes_;
  const std::string& name_;
  const char* format_;
};

struct Chunk {
  std::string_view type;
  Bytes data;
};
Chunk next_chunk(Cursor& png) {
  const std::uint32_t size = png.number(4);
  const std::size_t begin = png.at;
  const Bytes type = png.take(4);
  const Bytes data = png.take(size);
  const Chunk chunk{{reinterpret_cast<const char*>(type.data()), 4}, data};
  const std::uint32_t stored = png.number(4);
  const bool critical = (std::to_integer<unsigned>(type[0]) & 0x20) == 0;
  if (!critical) return chunk;
  if (chunk.type != "IHDR" && chunk.type != "PLTE" && chunk.type != "IDAT" && chunk.type != "IEND")
    png.damaged("a part of unknown kind at byte {}", begin);
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION  // a fuzzer does not find checksums, and shall get further
  if (crc32(crc32(0, nullptr, 0), reinterpret_cast<const Bytef*>(type.data()), static_cast<uInt>(4 + size)) != stored)
    png.damaged("the checksum of {} at byte {} is wrong", chunk.type, begin);
#else
  static_cast<void>(stored);
#endif
  return chunk;
}

ImageHeader png_header(Cursor png) {
  png.take(kPngStart.size());
  if (png.number(4) != 13 || png.number(4) != 0x49484452) png.damaged("it does not begin with its size");
  ImageHeader header{.info = {.format = ImageFormat::png}};
  header.info.width = png.number(4);
  header.info.height = png.number(4);
  header.sample_bytes = png.number(1) == 16 ? 2 : 1;
  const std::uint32_t color = png.number(1);
  png.take(3 + 4);  // compression, filter, interlace, the checksum
  switch (color) {
    case 0: header.info.channels = 1; break;
    case 4: header.info.channels = 2; return header;
    case 2:
    case 3: header.info.channels = 3; break;
    case 6: header.info.channels = 4; return header;
    default: png.damaged("colour type {}", color);
  }
  // A colour that stands for transparent, or a palette with transparent entries, comes before the pixels.
  for (;;) {
    const std::uint32_t size = png.number(4), type = png.number(4);
    if (type == 0x49444154 || type == 0x49454e44) return header;  // IDAT, IEND
    if (type == 0x74524e53) {                                     // tRNS
      ++header.info.channels;
      return header;
    }
    png.take(size);
    png.take(4);
  }
}

// The marker at the cursor, after any number of FF that fill up.
std::uint32_t next_marker(Cursor& jpeg) {
  const std::size_t begin = jpeg.at;
  if (jpeg.number(1) != 0xff) jpeg.damaged("expected a marker at byte {}", begin);
  std::uint32_t marker = 0xff;
  while (marker == 0xff) marker = jpeg.number(1);
  return marker;
}

Bytes next_segment(Cursor& jpeg) {
  const std::uint32_t size = jpeg.number(2);
  if (size < 2) jpeg.damaged("a segment of {} bytes at byte {}", size, jpeg.at - 2);
  return jpeg.take(size - 2);
}

bool is_frame(std::uint32_t marker) {  // SOF0 ... SOF15 but DHT, JPG and DAC
  return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}
bool is_bare(std::uint32_t marker) { return marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7); }  // TEM, RST

// A block of 8 x 8 takes a bit at least, of each of the components: an identifier, the samples that it has of a pixel across
// and down beside those of the others, 4 bits each, and a table.
std::uint64_t least_coded_bytes(const Cursor& jpeg, const ImageInfo& info, Bytes components) {
  const auto across = [&](std::size_t i) { return std::to_integer<std::int64_t>(components[i + 1] >> 4); };
  const auto down = [&](std::size_t i) { return std::to_integer<std::int64_t>(components[i + 1] & std::byte{15}); };
  std::int64_t most_across = 0, most_down = 0, blocks = 0;
  for (std::size_t i = 0; i < components.size(); i += 3) {
    if (across(i) < 1 || across(i) > 4 || down(i) < 1 || down(i) > 4)
      jpeg.damaged("{} x {} samples a pixel", across(i), down(i));
    most_across = std::max(most_across, across(i)), most_down = std::max(most_down, down(i));
  }
  const auto blocks_along = [](std::int64_t pixels, std::int64_t samples, std::int64_t most) {
    return (pixels * samples + 8 * most - 1) / (8 * most);
  };
  for (std::size_t i = 0; i < components.size(); i += 3)
    blocks += blocks_along(info.width, across(i), most_across) * blocks_along(info.height, down(i), most_down);
  return static_cast<std::uint64_t>(blocks / 8);
}

ImageHeader jpeg_header(const char* op, Cursor jpeg, const std::string& name) {
  constexpr std::uint32_t kApp1 = 0xe1;
  constexpr std::string_view kExif("Exif\0\0", 6);
  std::optional<int> orientation;  // of the first EXIF data, as other readers have it
  jpeg.take(2);
  for (;;) {
    const std::uint32_t marker = next_marker(jpeg);
    if (is_bare(marker)) continue;
    if (marker == 0xd9 || marker == 0xda) jpeg.damaged("it does not say its size");
    if (!is_frame(marker)) {
      const Bytes segment = next_segment(jpeg);
      if (marker == kApp1 && starts_with(segment, kExif) && !orientation)
        orientation = exif_orientation(segment.subspan(kExif.size()));
      continue;
    }
    check<DataError>(
        marker <= 0xc2, op,
        "expected a baseline or progressive JPEG; {} is one of another kind (lossless, hierarchical or arithmetic)", name);
    jpeg.take(2);
    const std::uint32_t bits = jpeg.number(1);
    check<DataError>(bits == 8, op, "expected a JPEG with 8 bits a channel; {} has {} bits", name, bits);
    ImageHeader header{.info = {.format = ImageFormat::jpeg}, .orientation = orientation.value_or(1)};
    header.info.height = jpeg.number(2);
    header.info.width = jpeg.number(2);
    const std::uint32_t components = jpeg.number(1);
    if (components != 1 && components != 3 && components != 4) jpeg.damaged("{} channels", components);
    header.info.channels = components == 1 ? 1 : 3;  // four are inks, and come out as RGB
    header.least_coded_bytes = least_coded_bytes(jpeg, header.info, jpeg.take(3 * components));
    return header;
  }
}

void check_whole_png(Cursor png) {
  png.take(kPngStart.size());
  while (next_chunk(png).type != "IEND") {
  }
}

void check_whole_jpeg(Cursor jpeg, const ImageHeader& header) {
  jpeg.take(2);
  std::uint64_t coded = 0;
  for (int scans = 0;;) {
    const std::uint32_t marker = next_marker(jpeg);
    if (marker == 0xd9) break;
    if (is_bare(marker)) continue;
    next_segment(jpeg);
    if (marker != 0xda) continue;
    if (++scans > kMostScans) jpeg.damaged("more than {} scans", kMostScans);
    // The coded pixels: FF there is followed by 0, or is a restart.
    const std::size_t begin = jpeg.at;
    for (;;) {
      jpeg.seek(std::byte{0xff});
      const std::size_t here = jpeg.at;
      const std::uint32_t next = jpeg.number(2) & 0xff;
      if (next == 0 || is_bare(next)) continue;
      jpeg.at = here;
      if (next != 0xff) break;
      ++jpeg.at;
    }
    coded += jpeg.at - begin;
  }
  // Few bytes would otherwise have stb_image make up for all that they promise: seconds for a file of 300 bytes.
  if (coded < header.least_coded_bytes)
    jpeg.damaged("{} x {} pixels take {} bytes or more; it has {}", header.info.width, header.info.height,
                 header.least_coded_bytes, coded);
}

}  // namespace

ImageHeader parse_image_header(const char* op, Bytes bytes, const std::string& name, const ImageLimits& limits) {
  const bool png = starts_with(bytes, kPngStart);
  check<DataError>(png || starts_with(bytes, kJpegStart), op, "expected a PNG or JPEG image; {} is {}", name, kind_of(bytes));
  const ImageHeader header = png ? png_header({op, bytes, name, "PNG"}) : jpeg_header(op, {op, bytes, name, "JPEG"}, name);
  const ImageInfo& info = header.info;
  check<DataError>(info.width >= 1 && info.height >= 1, op, "expected an image with pixels; {} has {} x {}", name, info.width,
                   info.height);
  const auto pixels = checked_mul(static_cast<std::uint64_t>(info.width), static_cast<std::uint64_t>(info.height));
  const auto pixel_bytes = pixels ? checked_mul(*pixels, static_cast<std::uint64_t>(info.channels)) : pixels;
  check<DataError>(info.width <= limits.side && info.height <= limits.side && pixel_bytes && *pixel_bytes <= limits.pixel_bytes,
                   op, "expected at most {} pixels a side and {} bytes of pixels; {} says it has {} x {} x {}", limits.side,
                   limits.pixel_bytes, name, info.width, info.height, info.channels);
  return header;
}

void check_whole_image(const char* op, Bytes bytes, const ImageHeader& header, const std::string& name) {
  if (header.info.format == ImageFormat::png) check_whole_png({op, bytes, name, "PNG"});
  else check_whole_jpeg({op, bytes, name, "JPEG"}, header);
}

}  // namespace heft::data
