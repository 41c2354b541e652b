#include "train/atomic_file.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "core/check.h"
#include "train/file_calls.h"
#include "train/read_number.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "write_atomically";
constexpr std::string_view kTemporary = ".tmp-";  // then the process and a number: "state.safetensors.tmp-4711-0"

// Beside `path`; open for the scope. The file is removed unless it was renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& path) : target_(path) {
    static std::atomic<unsigned> count{0};
    do {  // a name may be there from a process of the same number that was killed
      path_ = fmt::format("{}{}{}-{}", path, kTemporary, ::getpid(), count++);
      descriptor_ = file_calls().open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (descriptor_ < 0 && errno == EEXIST);
    if (descriptor_ < 0) fail_to_write(kOp, target_);
  }
  ~TemporaryFile() {
    if (descriptor_ >= 0) file_calls().close(descriptor_);
    if (!renamed_) file_calls().unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void append(const void* bytes, std::size_t count) {
    const char* next = static_cast<const char*>(bytes);
    while (count > 0) {
      const ssize_t written = file_calls().write(descriptor_, next, count);
      if (written < 0 && errno == EINTR) continue;
      if (written == 0) errno = EIO;  // a device that takes nothing and says nothing
      if (written <= 0) fail_to_write(kOp, target_);
      next += written;
      count -= static_cast<std::size_t>(written);
    }
  }
  void move_to_target() {
    if (file_calls().fsync(descriptor_) != 0) fail_to_write(kOp, target_);
    const int closed = file_calls().close(descriptor_);
    descriptor_ = -1;
    if (closed != 0) fail_to_write(kOp, target_);
    if (file_calls().rename(path_.c_str(), target_.c_str()) != 0) fail_to_write(kOp, target_);
    renamed_ = true;
  }

 private:
  std::string target_, path_;
  int descriptor_ = -1;
  bool renamed_ = false;
};

// A rename is durable once its folder is on the disk. Filesystems that cannot sync a folder say EINVAL: nothing to do there.
void sync(const std::string& path, int flags) {
  const int descriptor = file_calls().open(path.c_str(), O_RDONLY | O_CLOEXEC | flags, 0);
  if (descriptor < 0) fail_to_write(kOp, path);
  const int error = file_calls().fsync(descriptor) == 0 ? 0 : errno;
  file_calls().close(descriptor);
  if (error != 0 && error != EINVAL) {
    errno = error;
    fail_to_write(kOp, path);
  }
}

// The process that a temporary file of that name belongs to; 0 where it is none of ours.
pid_t writer_of(const std::string& name) {
  const std::size_t at = name.rfind(kTemporary);
  if (at == std::string::npos) return 0;
  const std::string_view rest = std::string_view(name).substr(at + kTemporary.size());
  const std::size_t dash = rest.find('-');
  pid_t process = 0;
  unsigned number = 0;
  const bool ours =
      dash != rest.npos && read_number(rest.substr(0, dash), process) && read_number(rest.substr(dash + 1), number);
  return ours ? process : 0;
}

}  // namespace

void fail_to_write(const char* op, const std::string& path) {
  const int error = errno;
  fail<WriteError>(op, "expected to write {}; the system says: {}", path,
                   error != 0 ? std::strerror(error) : "nothing");  // a stream may forget
}

void write_atomically(const std::string& path, const std::function<void(const Sink&)>& write) {
  TemporaryFile file(path);
  write([&file](const void* bytes, std::size_t n) { file.append(bytes, n); });
  file.move_to_target();
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  sync(folder.empty() ? "." : folder.string(), O_DIRECTORY);
}

void write_atomically(const std::string& path, std::string_view text) {
  write_atomically(path, [text](const Sink& sink) { sink(text.data(), text.size()); });
}

void sync_file(const std::string& path) { sync(path, 0); }

void remove_stale_temporaries(const std::string& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> stale;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const pid_t writer = writer_of(entry.path().filename().string());
    const bool is_alive = writer != ::getpid() && writer > 0 && (::kill(writer, 0) == 0 || errno == EPERM);
    if (writer > 0 && !is_alive && entry.is_regular_file(error)) stale.push_back(entry.path());
  }
  for (const std::filesystem::path& path : stale) std::filesystem::remove(path, error);
}

}  // namespace heft::train
