#include "train/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/check.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "write_atomically";

[[noreturn]] void fail_with_errno(const std::string& path) {
  const int error = errno;
  fail<DataError>(kOp, "expected to write {}; the system says: {}", path, std::strerror(error));
}

// Open for the scope; the file is removed unless released.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail_with_errno(path_);
  }
  ~TemporaryFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!renamed_) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void append(const void* bytes, std::size_t count) {
    const char* next = static_cast<const char*>(bytes);
    while (count > 0) {
      const ssize_t written = ::write(descriptor_, next, count);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail_with_errno(path_);
      next += written;
      count -= static_cast<std::size_t>(written);
    }
  }
  void rename_to(const std::string& target) {
    if (::fsync(descriptor_) != 0) fail_with_errno(path_);
    const int closed = ::close(descriptor_);
    descriptor_ = -1;
    if (closed != 0) fail_with_errno(path_);
    if (std::rename(path_.c_str(), target.c_str()) != 0) fail_with_errno(target);
    renamed_ = true;
  }

 private:
  std::string path_;
  int descriptor_ = -1;
  bool renamed_ = false;
};

// A rename is durable once its folder is on the disk. Filesystems that cannot sync a folder say EINVAL: nothing to do there.
void sync_folder(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail_with_errno(folder.string());
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (error != 0 && error != EINVAL) {
    errno = error;
    fail_with_errno(folder.string());
  }
}

}  // namespace

void write_atomically(const std::string& path, const std::function<void(const Sink&)>& write) {
  static std::atomic<unsigned> count{0};
  TemporaryFile file(fmt::format("{}.tmp-{}-{}", path, ::getpid(), count++));
  write([&file](const void* bytes, std::size_t n) { file.append(bytes, n); });
  file.rename_to(path);
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  sync_folder(folder.empty() ? "." : folder);
}

void write_atomically(const std::string& path, std::string_view text) {
  write_atomically(path, [text](const Sink& sink) { sink(text.data(), text.size()); });
}

}  // namespace heft::train
