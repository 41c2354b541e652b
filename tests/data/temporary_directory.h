// Files for reader tests: a directory that goes with the test, and the bytes of plain and gzip files.
#pragma once

#include <unistd.h>
#include <zlib.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace heft::test {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    static std::atomic<int> number{0};
    path_ = std::filesystem::temp_directory_path() / ("heft_test_" + std::to_string(getpid()) + "_" + std::to_string(number++));
    std::filesystem::create_directories(path_);
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  std::string file(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }
  // Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(file(name), std::ios::binary) << bytes;
    return file(name);
  }

 private:
  std::filesystem::path path_;
};

// `bytes` followed by `zeros` zero bytes, as one gzip member.
inline std::string gzip(const std::string& bytes, std::uint64_t zeros = 0) {
  z_stream stream{};
  if (deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK) throw std::runtime_error("zlib");
  std::string out;
  char buffer[1 << 16];
  const auto feed = [&](const std::string& piece, int flush) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
    stream.avail_in = static_cast<uInt>(piece.size());
    do {
      stream.next_out = reinterpret_cast<Bytef*>(buffer);
      stream.avail_out = sizeof(buffer);
      deflate(&stream, flush);
      out.append(buffer, sizeof(buffer) - stream.avail_out);
    } while (stream.avail_out == 0);
  };
  feed(bytes, Z_NO_FLUSH);
  const std::string block(1 << 16, '\0');
  for (; zeros > block.size(); zeros -= block.size()) feed(block, Z_NO_FLUSH);
  feed(std::string(zeros, '\0'), Z_FINISH);
  deflateEnd(&stream);
  return out;
}

inline std::string big_endian(std::uint32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xff));
  return out;
}

// An IDX file of unsigned bytes: whatever extents are given, whatever bytes follow.
inline std::string idx_bytes(const std::vector<std::uint32_t>& extents, const std::string& data) {
  std::string out = big_endian(0x00000800u + static_cast<std::uint32_t>(extents.size()));
  for (const std::uint32_t extent : extents) out += big_endian(extent);
  return out + data;
}

}  // namespace heft::test
