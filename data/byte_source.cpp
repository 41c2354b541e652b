#include "data/byte_source.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/check.h"

namespace heft::data {

namespace {
constexpr std::size_t kPiece = 1 << 16;
}

struct ByteSource::Gzip {
  z_stream stream{};
  std::array<Bytef, kPiece> input;
  bool ended = false;

  Gzip() = default;
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;
  ~Gzip() { inflateEnd(&stream); }
};

ByteSource::ByteSource(std::string op, std::filesystem::path path) : op_(std::move(op)), path_(std::move(path)) {
  std::error_code error;
  check<DataError>(std::filesystem::is_regular_file(path_, error), op_, "expected a file; there is none at {}", name());
  file_bytes_ = std::filesystem::file_size(path_, error);
  check<DataError>(!error, op_, "cannot tell the size of {}; {}", name(), error.message());
  restart();
}

ByteSource::~ByteSource() = default;

void ByteSource::restart() {
  file_ = std::ifstream(path_, std::ios::binary);
  check<DataError>(file_.is_open(), op_, "cannot open {} for reading", name());
  position_ = 0;
  gzip_.reset();
  std::array<char, 2> start{};
  const bool is_gzip = file_.read(start.data(), start.size()) && start[0] == '\x1f' && start[1] == '\x8b';
  file_.clear();
  file_.seekg(0);
  if (!is_gzip) return;
  gzip_ = std::make_unique<Gzip>();
  constexpr int kGzipOnly = 16;  // added to the window bits: a gzip header and its checksum, nothing else
  check<MemoryError>(inflateInit2(&gzip_->stream, MAX_WBITS + kGzipOnly) == Z_OK, op_, "zlib refused to start on {}", name());
}

std::size_t ByteSource::inflate_some(unsigned char* out, std::size_t bytes) {
  z_stream& stream = gzip_->stream;
  if (gzip_->ended) return 0;
  stream.next_out = out;
  stream.avail_out = static_cast<uInt>(bytes);
  while (stream.avail_out > 0) {
    if (stream.avail_in == 0) {
      file_.read(reinterpret_cast<char*>(gzip_->input.data()), static_cast<std::streamsize>(kPiece));
      stream.next_in = gzip_->input.data();
      stream.avail_in = static_cast<uInt>(file_.gcount());
      check<DataError>(stream.avail_in > 0, op_, "expected a whole gzip stream; {} is truncated", name());
    }
    const int result = inflate(&stream, Z_NO_FLUSH);
    if (result == Z_STREAM_END) {
      gzip_->ended = true;
      const bool more = stream.avail_in > 0 || file_.peek() != std::ifstream::traits_type::eof();
      check<DataError>(!more, op_, "expected one gzip stream; {} goes on after its end (trailing bytes or a second member)",
                       name());
      break;
    }
    check<DataError>(result == Z_OK, op_, "expected a gzip stream; {} is damaged ({})", name(),
                     stream.msg != nullptr ? stream.msg : "zlib error");
  }
  return bytes - stream.avail_out;
}

std::size_t ByteSource::read_some(unsigned char* out, std::size_t bytes) {
  if (gzip_) {
    bytes = inflate_some(out, bytes);
  } else {
    file_.read(reinterpret_cast<char*>(out), static_cast<std::streamsize>(bytes));
    bytes = static_cast<std::size_t>(file_.gcount());
  }
  position_ += bytes;
  return bytes;
}

void ByteSource::read(void* out, std::uint64_t bytes) {
  auto* to = static_cast<unsigned char*>(out);
  constexpr std::uint64_t kMost = 1 << 30;  // zlib counts in 32 bits
  for (std::uint64_t done = 0; done < bytes;) {
    const std::size_t got = read_some(to + done, static_cast<std::size_t>(std::min(bytes - done, kMost)));
    check<DataError>(got > 0, op_, "expected {} more bytes after byte {}; {} is truncated", bytes - done, position_, name());
    done += got;
  }
}

std::uint64_t ByteSource::skip(std::uint64_t bytes) {
  std::array<unsigned char, kPiece> piece;
  std::uint64_t done = 0;
  while (done < bytes) {
    const std::size_t got = read_some(piece.data(), static_cast<std::size_t>(std::min<std::uint64_t>(bytes - done, kPiece)));
    if (got == 0) break;
    done += got;
  }
  return done;
}

std::uint64_t ByteSource::remaining(std::uint64_t limit) {
  if (!gzip_) return std::min(limit, file_bytes_ - std::min(file_bytes_, position_));
  const std::uint64_t here = position_;
  const std::uint64_t left = skip(limit);
  restart();
  skip(here);
  return left;
}

std::filesystem::path find_plain_or_gzip(const std::string& op, const std::filesystem::path& dir, const std::string& name,
                                         const std::string& advice) {
  for (const char* suffix : {"", ".gz"}) {
    const std::filesystem::path path = dir / (name + suffix);
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) return path;
  }
  fail<DataError>(op, "expected {0} or {0}.gz in {1}; there is neither ({2})", name, dir.string(), advice);
}

}  // namespace heft::data
