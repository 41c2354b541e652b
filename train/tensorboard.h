// TensorBoard event files: scalars that TensorBoard, and everything else that reads its format, can plot.
//   file:    records, each  u64 length | u32 masked CRC of the length | data | u32 masked CRC of the data,  little-endian
//   masked:  ((crc >> 15) | (crc << 17)) + 0xa282ead8, of the CRC-32C
//   data:    an Event, a protocol buffer with the fields  1 wall_time (double, seconds)   2 step (int64)
//            3 file_version ("brain.Event:2", in the first record)   7 session_log { 1 status }
//            5 summary { 1 value { 1 tag (string), 2 simple_value (float) }, ... }
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace heft::train {

using Scalars = std::vector<std::pair<std::string, double>>;

// CRC-32C (Castagnoli): "123456789" gives 0xe3069283.
std::uint32_t crc32c(std::string_view bytes);

// Records of a file: its first; the one after which readers forget what earlier files have of `step` and later ones; scalars,
// without those that are not finite.
std::string version_record(double wall_time);
std::string restart_record(double wall_time, std::int64_t step);
std::string scalars_record(double wall_time, std::int64_t step, const Scalars& scalars);

class TensorBoardLog {
 public:
  // Starts a file events.out.tfevents.TIME.heft in `folder`, which is made if need be. `from_step` above 0: the run goes on
  // there; at 0 a run begins, and the older files are removed. Throws WriteError where the file cannot be written.
  explicit TensorBoardLog(const std::string& folder, std::int64_t from_step = 0);
  void add(std::int64_t step, const Scalars& scalars);
  // What was added has left the process. Throws DataError where it could not.
  void flush();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::ofstream file_;
};

// Removes the files that TensorBoardLog has made in a folder, and the folder if nothing else is in it.
void remove_event_files(const std::string& folder);

}  // namespace heft::train
