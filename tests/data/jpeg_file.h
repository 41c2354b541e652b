// JPEG files for tests, by the distribution's stb_image_write. For one file of a program: the functions are its own.
#pragma once

#include <cstdint>
#include <string>

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace heft::test {

// `samples`: height rows of width pixels of 1 or 3 channels, a byte each.
inline std::string jpeg_bytes(int width, int height, int channels, const std::string& samples, int quality = 90) {
  std::string file;
  const auto append = [](void* to, void* bytes, int count) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(bytes), static_cast<std::size_t>(count));
  };
  stbi_write_jpg_to_func(append, &file, width, height, channels, samples.data(), quality);
  return file;
}

}  // namespace heft::test
