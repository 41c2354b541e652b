// What a disk or a kill can do to a file while it is written: at every system call of write_atomically, and between any two
// bytes. Afterwards the old or the new contents load, and the next start finds nothing else.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "tests/catch_compat.h"
#include "tests/train/files.h"
#include "train/atomic_file.h"
#include "train/file_calls.h"
#include "train/safetensors.h"

using heft::Tensor;
using heft::WriteError;
using heft::test::contains;
using heft::test::files_in;
using heft::test::message_of;
using heft::test::TemporaryDirectory;
using namespace heft::train;

namespace {

// What goes wrong at call number `at` (0, 1, ...): it fails with `error`, or the process ends there.
struct Plan {
  int at = -1;
  int error = EIO;
  enum Kind { fails, fails_from_there_on, writes_half_then_fails, killed_before, killed_after } kind = fails;
  std::size_t most = 1 << 20;  // bytes that one write takes
  int calls = 0;
};
Plan plan;
FileCalls system_calls;

// Whether the call at hand fails; ends the process where the plan says so.
bool goes_wrong() {
  const int call = plan.calls++;
  if (call == plan.at && plan.kind == Plan::killed_before) raise(SIGKILL);
  const bool wrong = call == plan.at ? plan.kind == Plan::fails || plan.kind == Plan::fails_from_there_on
                                     : call > plan.at && plan.at >= 0 && plan.kind == Plan::fails_from_there_on;
  if (wrong) errno = plan.error;
  return wrong;
}
template <class Result>
Result after(Result result) {
  if (plan.calls - 1 == plan.at && plan.kind == Plan::killed_after) raise(SIGKILL);
  return result;
}

ssize_t planned_write(int file, const void* bytes, std::size_t count) {
  if (goes_wrong()) return -1;
  const std::size_t most = std::min(count, plan.most);
  if (plan.calls - 1 == plan.at && plan.kind == Plan::writes_half_then_fails) {
    plan.at = plan.calls;
    plan.kind = Plan::fails;
    return system_calls.write(file, bytes, (most + 1) / 2);
  }
  return after(system_calls.write(file, bytes, most));
}

// While one lives, files are written by plan.
class Faults {
 public:
  explicit Faults(const Plan& what) {
    plan = what;
    system_calls = file_calls();
    file_calls() = {
        .open = [](const char* path, int flags,
                   mode_t mode) { return goes_wrong() ? -1 : after(system_calls.open(path, flags, mode)); },
        .write = planned_write,
        .fsync = [](int file) { return goes_wrong() ? -1 : after(system_calls.fsync(file)); },
        // What fails has closed the file all the same.
        .close =
            [](int file) {
              const bool wrong = goes_wrong();
              const int error = errno, result = system_calls.close(file);
              errno = error;
              return wrong ? -1 : after(result);
            },
        .rename = [](const char* from, const char* to) { return goes_wrong() ? -1 : after(system_calls.rename(from, to)); },
        .unlink = [](const char* path) { return goes_wrong() ? -1 : after(system_calls.unlink(path)); }};
  }
  ~Faults() { file_calls() = system_calls; }
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;
};

SafeTensors contents(double value) {
  SafeTensors all{.tensors = {}, .metadata = {{"value", std::to_string(value)}}, .checksummed = true};
  all.tensors["weight"] = Tensor::full({5}, value);
  all.tensors["number"] = Tensor::scalar(value, heft::DType::f64);
  return all;
}

struct Disk {
  TemporaryDirectory folder;
  std::string path = folder.file("state.safetensors");
  Disk() { write_safetensors(path, contents(1)); }
  // 1 or 2, whole: else the test fails.
  int version() const {
    const SafeTensors found = read_safetensors(path);
    const double value = found.tensors.at("number").item<double>();
    REQUIRE(found.checksummed);
    REQUIRE(found.metadata == contents(value).metadata);
    REQUIRE(found.tensors.at("weight").to_vector<double>() == std::vector<double>(5, value));
    return static_cast<int>(value);
  }
  void check_clean() const {
    remove_stale_temporaries(folder.path());
    REQUIRE(files_in(folder) == 1);
  }
};

}  // namespace

TEST_CASE("write_atomically: a call that fails leaves the old file or the new one", "[train][atomic][faults]") {
  const int error = GENERATE(EIO, ENOSPC);
  const std::size_t most = GENERATE(as<std::size_t>{}, 1 << 20, 32);
  const Plan::Kind kind = GENERATE(Plan::fails, Plan::fails_from_there_on, Plan::writes_half_then_fails);
  int failures = 0, new_in_spite = 0;
  for (int at = 0;; ++at) {
    const Disk disk;
    bool failed = false;
    {
      const Faults faults({.at = at, .error = error, .kind = kind, .most = most});
      try {
        write_safetensors(disk.path, contents(2));
      } catch (const WriteError& failure) {  // of the file itself or of its folder
        failed = true;
        INFO(failure.what());
        CHECK(contains(failure.what(), "expected to write " + disk.folder.path()));
        CHECK_FALSE(contains(failure.what(), ".tmp-"));
        CHECK(contains(failure.what(), std::strerror(error)));
      }
    }
    const int version = disk.version();
    if (!failed) CHECK(version == 2);
    failures += failed;
    new_in_spite += failed && version == 2;
    disk.check_clean();
    if (plan.calls <= at) break;  // it was over before
  }
  CHECK(failures >= (kind == Plan::writes_half_then_fails ? 1 : 5));
  // Once it is renamed only the folder is left to sync: opening that, or syncing it.
  CHECK(new_in_spite == (kind == Plan::writes_half_then_fails ? 0 : 2));
}

TEST_CASE("write_atomically: a process that is killed at any call leaves the old file or the new one",
          "[train][atomic][faults]") {
  const Plan::Kind kind = GENERATE(Plan::killed_before, Plan::killed_after);
  int kills = 0, old_ones = 0;
  for (int at = 0;; ++at) {
    const Disk disk;
    const SafeTensors next = contents(2);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      const Faults faults({.at = at, .kind = kind, .most = 7});
      write_safetensors(disk.path, next);
      _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    const int version = disk.version();
    old_ones += version == 1;
    disk.check_clean();
    if (WIFEXITED(status)) {
      CHECK(WEXITSTATUS(status) == 0);
      CHECK(version == 2);
      break;
    }
    REQUIRE(WTERMSIG(status) == SIGKILL);
    ++kills;
  }
  CHECK(kills > 40);
  CHECK(old_ones > 35);
  CHECK(kills - old_ones >= 3);  // the folder's open, fsync and close
}

TEST_CASE("remove_stale_temporaries: what living processes write stays, and so does what is no temporary",
          "[train][atomic][faults]") {
  const TemporaryDirectory folder;
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(0);
  REQUIRE(waitpid(child, nullptr, 0) == child);
  const std::string dead = std::to_string(child), living = std::to_string(getppid()), own = std::to_string(getpid());
  for (const std::string& name : {"a.tmp-" + dead + "-0", "b.tmp-" + own + "-17"}) folder.write(name, "x");
  const std::vector<std::string> kept = {"a",        "a.tmp-" + living + "-0",   "a.tmp-",  "a.tmp-" + dead,
                                         "a.tmp--1", "a.tmp-" + dead + "-0.txt", "tmp-1-2", "a.tmp-x-0"};
  for (const std::string& name : kept) folder.write(name, "x");
  remove_stale_temporaries(folder.path());
  CHECK(files_in(folder) == static_cast<std::ptrdiff_t>(kept.size()));
  for (const std::string& name : kept) CHECK(std::filesystem::exists(folder.file(name)));
  remove_stale_temporaries(folder.file("no such folder"));
  CHECK_FALSE(std::filesystem::exists(folder.file("no such folder")));
}

TEST_CASE("write_atomically: a temporary that a process of the same number left is no obstacle", "[train][atomic][faults]") {
  const TemporaryDirectory folder;
  static std::string opened;  // the first temporary file
  const FileCalls before = file_calls();
  file_calls().open = [](const char* path, int flags, mode_t mode) {
    if (opened.empty()) {
      opened = path;
      std::ofstream(opened) << "left";
    }
    return ::open(path, flags, mode);
  };
  write_atomically(folder.file("x"), "new");
  file_calls() = before;
  CHECK(heft::test::read_text(folder.file("x")) == "new");
  CHECK(heft::test::read_text(opened) == "left");
}
