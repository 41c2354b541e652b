#include "train/tensorboard.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "core/check.h"
#include "train/atomic_file.h"
#include "train/protobuf.h"

namespace heft::train {
namespace {

namespace fs = std::filesystem;

std::uint32_t masked_crc(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

std::string record(const std::string& data) {
  const std::string length = little_endian(static_cast<std::uint64_t>(data.size()));
  return length + little_endian(masked_crc(length)) + data + little_endian(masked_crc(data));
}

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

bool is_ours(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.rfind("events.out.tfevents.", 0) == 0 && path.extension() == ".heft";
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      t[i] = i;
      for (int bit = 0; bit < 8; ++bit) t[i] = t[i] >> 1 ^ (t[i] & 1 ? 0x82f63b78u : 0);
    }
    return t;
  }();
  std::uint32_t crc = 0xffffffffu;
  for (const char c : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

std::string version_record(double wall_time) {
  return record(field(1, wall_time) + field(3, std::string_view("brain.Event:2")));
}

std::string restart_record(double wall_time, std::int64_t step) {
  constexpr std::int64_t kStart = 1;
  return record(field(1, wall_time) + field(2, step) + field(7, field(1, kStart)));
}

std::string scalars_record(double wall_time, std::int64_t step, const Scalars& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars)
    if (std::isfinite(value)) summary += field(1, field(1, std::string_view(tag)) + field(2, static_cast<float>(value)));
  return record(field(1, wall_time) + field(2, step) + field(5, summary));
}

TensorBoardLog::TensorBoardLog(const std::string& folder, std::int64_t from_step) {
  if (from_step == 0) remove_event_files(folder);
  std::error_code error;
  fs::create_directories(folder, error);
  // Readers take the files in the order of their names.
  auto time = static_cast<std::int64_t>(now());
  do path_ = (fs::path(folder) / fmt::format("events.out.tfevents.{:010}.heft", time++)).string();
  while (fs::exists(path_, error));
  file_.open(path_, std::ios::binary);
  file_ << version_record(now());
  if (from_step > 0) file_ << restart_record(now(), from_step);
  flush();
}

void TensorBoardLog::add(std::int64_t step, const Scalars& scalars) { file_ << scalars_record(now(), step, scalars); }

void TensorBoardLog::flush() {
  errno = 0;
  file_.flush();
  if (!file_) fail_to_write("tensorboard", path_);
}

void remove_event_files(const std::string& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return;
  std::vector<fs::path> ours;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    if (is_ours(entry.path())) ours.push_back(entry.path());
  for (const fs::path& path : ours) fs::remove(path, error);
  if (fs::is_empty(folder, error)) fs::remove(folder, error);
}

}  // namespace heft::train
