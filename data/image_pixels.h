// What lies between the file of an image and its tensor. Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/image.h"

namespace heft::data {

// As an image's header says, and what of it only the decoder needs to know.
struct ImageHeader {
  ImageInfo info;
  int sample_bytes = 1;  // 2: a PNG of 16 bits a channel
};
// Reads on to where the pixels begin.
ImageHeader parse_image_header(const char* op, std::span<const std::byte> bytes, const std::string& name,
                               const ImageLimits& limits);
// Throws DataError unless `bytes`, whose header has been read, are a whole file: the chunks of a PNG with their checksums, or
// the segments of a JPEG up to its end. What follows the end is left alone, as every reader does.
void check_whole_image(const char* op, std::span<const std::byte> bytes, ImageFormat format, const std::string& name);

// Decoded, (H, W, C).
struct Pixels {
  struct Free {
    void operator()(std::uint8_t* block) const;
  };
  std::unique_ptr<std::uint8_t, Free> data;
  std::int64_t width = 0, height = 0;
  std::int64_t channels = 0;
};
// By stb_image, with at most `budget` bytes at a time; nothing, and the reason, where it refuses.
std::optional<Pixels> stb_decode(std::span<const std::byte> bytes, std::uint64_t budget, std::string& reason);
// Checked as decode_image() says. 1 channel or 3; a grey image stays 1 where options ask for 3.
Pixels decode_pixels(const char* op, std::span<const std::byte> bytes, const ImageOptions& options, const std::string& name);

// The first `most` bytes of a file, whose real size goes to `size`.
std::vector<std::byte> read_image_file(const char* op, const std::filesystem::path& path, std::uint64_t most,
                                       const ImageLimits& limits, std::uint64_t* size = nullptr);

}  // namespace heft::data
