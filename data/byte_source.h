// A file read front to back, plain or gzip (told by its first two bytes, not by its name), for readers that must know
// how much there is before they allocate anything. Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

namespace heft::data {

// Every failure is a DataError that carries `op` and the file's name: a file that is missing or not a regular file,
// ends early, is damaged (gzip checksum), or goes on after its gzip stream (trailing bytes or a second member).
class ByteSource {
 public:
  ByteSource(std::string op, std::filesystem::path path);
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  // Fills `out` with the next `bytes` bytes.
  void read(void* out, std::uint64_t bytes);
  // How many bytes are left, counted no further than `limit`; the position stays. A plain file is asked for its size.
  // A gzip file is inflated piece by piece into one small buffer: a bomb costs time in proportion to `limit` and no memory.
  std::uint64_t remaining(std::uint64_t limit);

  const std::string& op() const { return op_; }
  std::string name() const { return path_.string(); }

 private:
  struct Gzip;
  void restart();
  std::size_t read_some(unsigned char* out, std::size_t bytes);
  std::size_t inflate_some(unsigned char* out, std::size_t bytes);
  std::uint64_t skip(std::uint64_t bytes);

  std::string op_;
  std::filesystem::path path_;
  std::ifstream file_;
  std::uint64_t file_bytes_ = 0;
  std::uint64_t position_ = 0;  // in uncompressed bytes
  std::unique_ptr<Gzip> gzip_;  // null: plain
};

// `dir`/`name` or, where there is none, `dir`/`name`.gz. Throws DataError that carries `op` and ends in `advice` where there
// is neither.
std::filesystem::path find_plain_or_gzip(const std::string& op, const std::filesystem::path& dir, const std::string& name,
                                         const std::string& advice);

}  // namespace heft::data
