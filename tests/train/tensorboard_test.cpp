#include "train/tensorboard.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "tests/catch_compat.h"
#include "tests/train/files.h"

using namespace heft;
using heft::test::read_text;
using heft::test::TemporaryDirectory;

namespace {

std::string hex(const std::string& bytes) {
  std::string digits;
  for (const char c : bytes)
    for (const int digit : {(c >> 4) & 15, c & 15}) digits += "0123456789abcdef"[digit];
  return digits;
}

std::vector<std::string> files_of(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  return names;
}

}  // namespace

TEST_CASE("tensorboard: CRC-32C of RFC 3720's examples", "[train][record]") {
  std::string rising;
  for (char c = 0; c < 32; ++c) rising += c;
  CHECK(train::crc32c("") == 0);
  CHECK(train::crc32c("123456789") == 0xe3069283u);
  CHECK(train::crc32c(std::string(32, '\0')) == 0x8a9136aau);
  CHECK(train::crc32c(std::string(32, '\xff')) == 0x62a8ab43u);
  CHECK(train::crc32c(rising) == 0x46dd794eu);
}

// The bytes that TensorBoard 2.21 writes of the same events (RecordWriter of Event.SerializeToString()).
TEST_CASE("tensorboard: records are TensorBoard's own, byte for byte", "[train][record]") {
  constexpr double kTime = 1700000000.5;
  CHECK(hex(train::version_record(kTime)) ==
        "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b353110");
  CHECK(hex(train::restart_record(kTime, 300)) == "100000000000000095fbfe180900002040fc54d94110ac023a020801b94512a3");
  const train::Scalars scalars = {{"step/mean_loss", 0.75},
                                  {"step/lambda", std::numeric_limits<double>::infinity()},  // left out
                                  {"step/log_u", std::nan("")},
                                  {"step/kl", -2.5}};
  CHECK(
      hex(train::scalars_record(kTime, 300, scalars)) ==
      "3500000000000000d6c55de60900002040fc54d94110ac022a270a150a0e737465702f6d65616e5f6c6f7373150000403f0a0e0a07737465702f6b6c"
      "15000020c09c434715");
}

TEST_CASE("tensorboard: a file per start, the old ones kept where a run goes on", "[train][record]") {
  const TemporaryDirectory folder;
  const std::string events = folder.file("tensorboard");
  std::string first;
  {
    train::TensorBoardLog log(events);
    log.add(7, {{"a", 1}});
    log.flush();
    first = log.path();
  }
  const std::string version = train::version_record(0), added = train::scalars_record(0, 7, {{"a", 1}});
  CHECK(read_text(first).size() == version.size() + added.size());
  CHECK(std::filesystem::path(first).filename().string().rfind("events.out.tfevents.", 0) == 0);

  const train::TensorBoardLog second(events, 7);
  CHECK(second.path() > first);
  CHECK(files_of(events).size() == 2);
  CHECK(read_text(second.path()).size() == version.size() + train::restart_record(0, 7).size());

  folder.write("tensorboard/notes.txt", "not ours");
  const train::TensorBoardLog anew(events);
  CHECK(files_of(events).size() == 2);  // that and the notes
  train::remove_event_files(events);
  CHECK(files_of(events) == std::vector<std::string>{"notes.txt"});
  std::filesystem::remove(folder.file("tensorboard/notes.txt"));
  train::remove_event_files(events);
  CHECK_FALSE(std::filesystem::exists(events));

  folder.write("file", "");
  CHECK_THROWS_AS(train::TensorBoardLog(folder.file("file")), DataError);
}
