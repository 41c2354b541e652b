#include "data/image_cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/check.h"
#include "core/checked.h"

namespace heft::data {

namespace {

constexpr const char* kOp = "image_cache";
constexpr std::string_view kMagic = "heft images 3\n\0\0";  // with the zero at its end, 16 bytes
constexpr std::size_t kMagicBytes = 16, kAlignment = 64;

// The magic, the sizes below, the checksum of all that follows, the description, a mark an image, and from a multiple of 64
// bytes on the pixels.
struct Sizes {
  std::uint64_t description, images, image_bytes;
};

using Checksum = std::uint64_t;
constexpr std::size_t kChecksumAt = kMagicBytes + sizeof(Sizes);

struct Places {
  std::size_t description, marks, pixels, end;
};

std::optional<Places> places_of(const Sizes& sizes) {
  Places places{.description = kChecksumAt + sizeof(Checksum), .marks = 0, .pixels = 0, .end = 0};
  const auto marks = checked_add(places.description, sizes.description);
  const auto end_of_marks = marks ? checked_add(*marks, sizes.images) : marks;
  const auto room = end_of_marks ? checked_add(*end_of_marks, kAlignment - 1) : end_of_marks;
  const auto pixels = checked_mul(sizes.images, sizes.image_bytes);
  if (!room || !pixels) return std::nullopt;
  places.marks = *marks;
  places.pixels = *room / kAlignment * kAlignment;
  const auto end = checked_add(places.pixels, *pixels);
  if (!end || *end > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) return std::nullopt;
  places.end = *end;
  return places;
}

Sizes sizes_of(const CacheContents& contents) { return {contents.description.size(), contents.images, contents.image_bytes}; }

// CRC-32.
Checksum checksum_of(std::span<const std::uint8_t> file) {
  const auto bytes = file.subspan(kChecksumAt + sizeof(Checksum));
  return ::crc32_z(0, bytes.data(), bytes.size());
}

[[noreturn]] void fail_with(const std::filesystem::path& path, int error) {
  fail<WriteError>(kOp, "expected to write the cache {}; the system says: {}", path.string(), std::strerror(error));
}

}  // namespace

MappedFile::~MappedFile() { ::munmap(start_, bytes_); }

ImageCache::ImageCache(std::unique_ptr<MappedFile> file, const CacheContents& contents)
    : file_(std::move(file)), images_(contents.images) {
  const Places places = *places_of(sizes_of(contents));
  marks_at_ = places.marks;
  pixels_at_ = places.pixels;
}

ImageCache::~ImageCache() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

std::unique_ptr<ImageCache> ImageCache::open(const std::filesystem::path& path, const CacheContents& contents) {
  const std::optional<Places> places = places_of(sizes_of(contents));
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (!places || descriptor < 0) return nullptr;
  struct stat status {};
  void* start = MAP_FAILED;
  if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && static_cast<std::uint64_t>(status.st_size) == places->end)
    start = ::mmap(nullptr, places->end, PROT_READ, MAP_SHARED, descriptor, 0);
  ::close(descriptor);
  if (start == MAP_FAILED) return nullptr;
  auto file = std::make_unique<MappedFile>(start, places->end);
  const Sizes sizes = sizes_of(contents);
  const std::uint8_t* bytes = file->bytes().data();
  // What belongs to other images is not read to the end.
  if (std::memcmp(bytes, kMagic.data(), kMagicBytes) != 0 || std::memcmp(bytes + kMagicBytes, &sizes, sizeof(sizes)) != 0 ||
      std::memcmp(bytes + places->description, contents.description.data(), contents.description.size()) != 0)
    return nullptr;
  const Checksum checksum = checksum_of(file->bytes());
  if (std::memcmp(bytes + kChecksumAt, &checksum, sizeof(checksum)) != 0) return nullptr;
  return std::unique_ptr<ImageCache>(new ImageCache(std::move(file), contents));
}

std::unique_ptr<ImageCache> ImageCache::create(const std::filesystem::path& path, const CacheContents& contents) {
  static std::atomic<unsigned> count{0};
  const Sizes sizes = sizes_of(contents);
  const std::optional<Places> places = places_of(sizes);
  check<DataError>(places.has_value(), kOp, "expected images that fit a file; got {} of {} bytes", contents.images,
                   contents.image_bytes);
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) fail_with(path, error.value());
  const std::filesystem::path temporary = fmt::format("{}.tmp-{}-{}", path.string(), ::getpid(), count++);
  const int descriptor = ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) fail_with(temporary, errno);
  // A page of a mapped file that finds no room on the disk ends the program: ask for all of it now.
  const int reserved = ::posix_fallocate(descriptor, 0, static_cast<off_t>(places->end));
  void* start = reserved == 0 ? ::mmap(nullptr, places->end, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0) : MAP_FAILED;
  if (start == MAP_FAILED) {
    const int why = reserved != 0 ? reserved : errno;
    ::close(descriptor);
    ::unlink(temporary.c_str());
    fail_with(temporary, why);
  }
  std::unique_ptr<ImageCache> cache(new ImageCache(std::make_unique<MappedFile>(start, places->end), contents));
  cache->path_ = path;
  cache->temporary_ = temporary;
  cache->descriptor_ = descriptor;
  std::uint8_t* bytes = cache->file_->bytes().data();
  std::memcpy(bytes, kMagic.data(), kMagicBytes);
  std::memcpy(bytes + kMagicBytes, &sizes, sizeof(sizes));
  std::memcpy(bytes + places->description, contents.description.data(), contents.description.size());
  return cache;
}

std::span<std::uint8_t> ImageCache::marks() const {
  return file_->bytes().subspan(marks_at_, static_cast<std::size_t>(images_));
}

std::uint8_t* ImageCache::pixels() const { return file_->bytes().data() + pixels_at_; }

void ImageCache::finish() {
  const Checksum checksum = checksum_of(file_->bytes());
  std::memcpy(file_->bytes().data() + kChecksumAt, &checksum, sizeof(checksum));
  if (::msync(file_->bytes().data(), file_->bytes().size(), MS_SYNC) != 0 || ::fsync(descriptor_) != 0)
    fail_with(temporary_, errno);
  ::close(std::exchange(descriptor_, -1));
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail_with(path_, errno);
  temporary_.clear();
}

std::filesystem::path default_cache_folder() {
  // An empty variable is as good as none, says the XDG specification.
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return std::filesystem::path(cache) / "heft";
  const char* home = std::getenv("HOME");
  check<DataError>(home != nullptr && *home != '\0', kOp,
                   "expected XDG_CACHE_HOME or HOME to be set, or a folder for the cache");
  return std::filesystem::path(home) / ".cache" / "heft";
}

}  // namespace heft::data
