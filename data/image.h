// Images in files: PNG and JPEG, told by their first bytes, not by their names. Decoded by stb_image after checks of our own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "core/tensor.h"

namespace heft::data {

// What a file may ask for, checked before anything is allocated for it.
struct ImageLimits {
  std::int64_t side = 16384;               // pixels of width, and of height
  std::uint64_t pixel_bytes = 128u << 20;  // width x height x channels: the 45 million pixels of a large camera in colour
  std::uint64_t file_bytes = 128u << 20;   // of the file
};

enum class ImageFormat { png, jpeg };

struct ImageInfo {
  ImageFormat format = ImageFormat::png;
  std::int64_t width = 0, height = 0;  // upright: as the orientation in a JPEG's EXIF data says
  std::int64_t channels = 0;           // 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; a palette counts as what it holds
};

struct ImageOptions {
  std::int64_t channels = 0;  // 1: grey, 3: RGB; 0: grey where the image is, else RGB
  ImageLimits limits = {};
};

// All throw DataError naming the image (`name`, or the path), and ValueError for channels that are none of the above.

// Without decoding. `bytes` may be the beginning of a file: as much as there is before the pixels.
ImageInfo image_info(std::span<const std::byte> bytes, const std::string& name, const ImageLimits& limits = {});
ImageInfo read_image_info(const std::filesystem::path& path, const ImageLimits& limits = {});

// u8 (C, H, W), row-major. Grey from colour: (299 R + 587 G + 114 B) / 1000 (ITU-R 601). Transparent pixels are laid on white,
// what a page would show, since the colours hidden under them are arbitrary, mostly black. 16 bits a channel become the upper
// 8. A JPEG is turned upright as its EXIF data say, which is how cameras write what they took on their side; damaged EXIF data
// are left aside. Refused: a file that is truncated, damaged (the CRCs of a PNG), of another format, or of a kind that
// stb_image does not read (arithmetic coding, 12 bits). Memory in all: at most 8 times the bytes of the file and of the pixels
// it declares, and 16 MiB.
Tensor decode_image(std::span<const std::byte> bytes, const ImageOptions& options, const std::string& name);
Tensor read_image(const std::filesystem::path& path, const ImageOptions& options = {});

}  // namespace heft::data
