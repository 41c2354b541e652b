// Pixels of a data set in a file that is mapped into memory, so that more images than fit there cost no decoding either, and
// the next run none at all. Internal.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace heft::data {

// A file mapped into memory for the life of the object.
class MappedFile {
 public:
  MappedFile(void* start, std::size_t bytes) : start_(static_cast<std::uint8_t*>(start)), bytes_(bytes) {}
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::span<std::uint8_t> bytes() const { return {start_, bytes_}; }

 private:
  std::uint8_t* start_;
  std::size_t bytes_;
};

// What is in a cache file, besides pixels: a description of the images and of what was done to them, compared byte by byte.
struct CacheContents {
  std::string_view description;
  std::uint64_t images = 0;
  std::uint64_t image_bytes = 0;  // of each
};

// Mapped for reading; null where there is no file at `path`, or one of other contents or another size than it should have, or
// whose checksum, for which all of it is read, is wrong.
class ImageCache {
 public:
  static std::unique_ptr<ImageCache> open(const std::filesystem::path& path, const CacheContents& contents);
  // A new file beside `path`, mapped for writing, which finish() makes the one at `path`; without it, it is removed. Its space
  // is reserved here. Throws DataError naming the file and the system's reason.
  static std::unique_ptr<ImageCache> create(const std::filesystem::path& path, const CacheContents& contents);
  ~ImageCache();
  ImageCache(const ImageCache&) = delete;
  ImageCache& operator=(const ImageCache&) = delete;

  // One byte an image, the writer's business; 0 in a new file.
  std::span<std::uint8_t> marks() const;
  std::uint8_t* pixels() const;
  void finish();

 private:
  ImageCache(std::unique_ptr<MappedFile> file, const CacheContents& contents);
  std::unique_ptr<MappedFile> file_;
  std::uint64_t images_;
  std::size_t marks_at_, pixels_at_;
  std::filesystem::path path_, temporary_;  // while it is written
  int descriptor_ = -1;
};

// $XDG_CACHE_HOME/heft, or ~/.cache/heft. Throws DataError where neither variable is set.
std::filesystem::path default_cache_folder();

}  // namespace heft::data
