// What lies between the file of an image and its tensor. Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
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
  ImageInfo info;                       // width and height as they are stored
  int sample_bytes = 1;                 // 2: a PNG of 16 bits a channel
  int orientation = 1;                  // of a JPEG, as EXIF numbers them
  std::uint64_t least_coded_bytes = 0;  // of a JPEG: no whole one has fewer for its pixels
};
// Reads on to where the pixels begin.
ImageHeader parse_image_header(const char* op, std::span<const std::byte> bytes, const std::string& name,
                               const ImageLimits& limits);
// Throws DataError unless `bytes`, whose header has been read, are a whole file: the chunks of a PNG with their checksums, or
// the segments of a JPEG up to its end. What follows the end is left alone, as every reader does.
void check_whole_image(const char* op, std::span<const std::byte> bytes, const ImageHeader& header, const std::string& name);

// Decoded, (H, W, C).
struct Pixels {
  struct Free {
    void operator()(std::uint8_t* block) const;
  };
  std::unique_ptr<std::uint8_t, Free> data;
  std::int64_t width = 0, height = 0;
  std::int64_t channels = 0;
};
// The orientation in EXIF data that begin at their byte order mark: 1 to 8 (CIPA DC-008). It says where the first stored row
// and the first stored column belong: 1 top and left, 2 top and right, 3 bottom and right, 4 bottom and left, 5 left and top,
// 6 right and top, 7 right and bottom, 8 left and bottom. 1, too, where there is none or anything is wrong.
int exif_orientation(std::span<const std::byte> exif);
// Moves rows and columns to where `orientation` says that they belong.
void turn_upright(Pixels& pixels, int orientation);
// By stb_image, with at most `budget` bytes at a time; nothing, and the reason, where it refuses.
std::optional<Pixels> stb_decode(std::span<const std::byte> bytes, std::uint64_t budget, std::string& reason);
// Checked as decode_image() says, and upright. 1 channel or 3; a grey image stays 1 where options ask for 3.
Pixels decode_pixels(const char* op, std::span<const std::byte> bytes, const ImageOptions& options, const std::string& name);

// The part of an error after the name of the image, "is a GIF", or all of it.
std::string reason_of(const std::exception& error, const std::string& name);

// The first `most` bytes of a file, whose real size goes to `size`.
std::vector<std::byte> read_image_file(const char* op, const std::filesystem::path& path, std::uint64_t most,
                                       const ImageLimits& limits, std::uint64_t* size = nullptr);

}  // namespace heft::data
