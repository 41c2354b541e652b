#include "data/image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "data/image_pixels.h"

namespace heft::data {

namespace {

constexpr const char* kOp = "decode_image";

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

// In place, on white: two or four channels become one or three.
void remove_alpha(Pixels& pixels) {
  const std::int64_t from = pixels.channels, to = from - 1;
  const std::uint8_t* read = pixels.data.get();
  std::uint8_t* write = pixels.data.get();
  for (std::int64_t i = 0; i < pixels.width * pixels.height; ++i, read += from, write += to) {
    const unsigned alpha = read[to];
    for (std::int64_t c = 0; c < to; ++c)
      write[c] = static_cast<std::uint8_t>((read[c] * alpha + 255 * (255 - alpha) + 127) / 255);
  }
  pixels.channels = to;
}

void make_grey(Pixels& pixels) {
  const std::uint8_t* rgb = pixels.data.get();
  std::uint8_t* grey = pixels.data.get();
  for (std::int64_t i = 0; i < pixels.width * pixels.height; ++i, rgb += 3)  // 0.299, 0.587 and 0.114 of 65536
    grey[i] = static_cast<std::uint8_t>((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 32768u) >> 16);
  pixels.channels = 1;
}

}  // namespace

Pixels decode_pixels(const char* op, std::span<const std::byte> bytes, const ImageOptions& options, const std::string& name) {
  check(options.channels == 0 || options.channels == 1 || options.channels == 3, op,
        "expected channels 1 or 3, or 0 for those of the image; got {}", options.channels);
  check<DataError>(bytes.size() <= options.limits.file_bytes && bytes.size() < (std::uint64_t{1} << 31), op,
                   "expected a file of at most {} bytes; {} has {} bytes", options.limits.file_bytes, name, bytes.size());
  const ImageHeader header = parse_image_header(op, bytes, name, options.limits);
  check_whole_image(op, bytes, header, name);
  // stb_image takes the most for a progressive JPEG of four inks: 15 bytes for each pixel of 3. The 8 MiB are for blocks that
  // reach over the edge, and tables.
  const auto payload = static_cast<std::uint64_t>(header.info.width * header.info.height * header.info.channels) *
                       static_cast<std::uint64_t>(header.sample_bytes);
  std::string reason;
  std::optional<Pixels> pixels = stb_decode(bytes, 5 * payload + 3 * bytes.size() + (8u << 20), reason);
  check<DataError>(pixels.has_value(), op, "expected a PNG or JPEG image; {} is damaged: {}", name, reason);
  check<DataError>(pixels->width == header.info.width && pixels->height == header.info.height && pixels->channels >= 1 &&
                       pixels->channels <= 4,
                   op, "expected {} x {} pixels, as its header says; {} holds {} x {} x {}", header.info.width,
                   header.info.height, name, pixels->width, pixels->height, pixels->channels);
  if (pixels->channels % 2 == 0) remove_alpha(*pixels);
  if (pixels->channels == 3 && options.channels == 1) make_grey(*pixels);
  turn_upright(*pixels, header.orientation);
  return std::move(*pixels);
}

std::string reason_of(const std::exception& error, const std::string& name) {
  const std::string text = error.what();
  const std::size_t at = text.find(name);
  if (at == std::string::npos) return text;
  std::size_t begin = at + name.size();
  while (begin < text.size() && (text[begin] == ' ' || text[begin] == ';')) ++begin;
  return text.substr(begin);
}

ImageInfo image_info(std::span<const std::byte> bytes, const std::string& name, const ImageLimits& limits) {
  ImageHeader header = parse_image_header("image_info", bytes, name, limits);
  if (header.orientation >= 5) std::swap(header.info.width, header.info.height);
  return header.info;
}

Tensor decode_image(std::span<const std::byte> bytes, const ImageOptions& options, const std::string& name) {
  const Pixels pixels = decode_pixels(kOp, bytes, options, name);
  const std::int64_t channels = options.channels == 0 ? pixels.channels : options.channels;
  const std::int64_t area = pixels.width * pixels.height;
  Tensor image = Tensor::empty({channels, pixels.height, pixels.width}, DType::u8);
  std::uint8_t* to = image.mutable_data<std::uint8_t>();
  for (std::int64_t c = 0; c < channels; ++c, to += area) {
    const std::uint8_t* from = pixels.data.get() + std::min(c, pixels.channels - 1);  // a grey image is its own red, ...
    for (std::int64_t i = 0; i < area; ++i) to[i] = from[i * pixels.channels];
  }
  return image;
}

std::vector<std::byte> read_image_file(const char* op, const std::filesystem::path& path, std::uint64_t most,
                                       const ImageLimits& limits, std::uint64_t* size) {
  const auto refuse = [&](const char* what) {
    fail<DataError>(op, "expected to {} {}; the system says: {}", what, path.string(), std::strerror(errno));
  };
  // Without waiting: a pipe has nobody at its other end.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.number() < 0) refuse("open");
  struct stat status {};
  if (::fstat(file.number(), &status) != 0) refuse("ask for the size of");
  check<DataError>(S_ISREG(status.st_mode), op, "expected a file; {} is something else", path.string());
  const auto there = static_cast<std::uint64_t>(status.st_size);
  check<DataError>(there <= limits.file_bytes, op, "expected a file of at most {} bytes; {} has {} bytes", limits.file_bytes,
                   path.string(), there);
  if (size != nullptr) *size = there;
  std::vector<std::byte> bytes(static_cast<std::size_t>(std::min(there, most)));
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t got = ::read(file.number(), bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse("read");
    check<DataError>(got > 0, op, "expected {} bytes in {}; it became shorter while it was read", bytes.size(), path.string());
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

ImageInfo read_image_info(const std::filesystem::path& path, const ImageLimits& limits) {
  constexpr const char* kInfoOp = "image_info";
  constexpr std::uint64_t kStart = 1 << 16;  // of most files, it has the header
  std::uint64_t size = 0;
  std::vector<std::byte> bytes = read_image_file(kInfoOp, path, kStart, limits, &size);
  if (bytes.size() < size) {
    try {
      return image_info(bytes, path.string(), limits);
    } catch (const DataError&) {  // perhaps it goes on after what was read
      bytes = read_image_file(kInfoOp, path, limits.file_bytes, limits);
    }
  }
  return image_info(bytes, path.string(), limits);
}

Tensor read_image(const std::filesystem::path& path, const ImageOptions& options) {
  return decode_image(read_image_file("read_image", path, options.limits.file_bytes, options.limits), options, path.string());
}

}  // namespace heft::data
