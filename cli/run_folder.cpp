#include "cli/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "core/check.h"
#include "data/image_scan.h"
#include "train/image_sources.h"

namespace heft::cli {

namespace fs = std::filesystem;

RunFolder::RunFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  check(!error, "train", "expected a folder for the results that can be made (--out); the system says of {}: {}", path,
        error.message());
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  check(descriptor_ >= 0, "train", "expected a folder for the results (--out); {} cannot be opened as one", path);
  // The lock is the process's and ends with it, kill -9 included. Some network file systems have none.
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(descriptor_);
  fail("train", "expected a folder that nobody else writes to; another heft train is at work in {}", path);
}
RunFolder::~RunFolder() { ::close(descriptor_); }

bool holds_a_run(const std::string& path) {
  std::error_code none;
  for (const char* name : {"metrics.jsonl", "state.safetensors", "model.safetensors"})
    if (fs::exists(fs::path(path) / name, none)) return true;
  return false;
}

void check_out_of_data(const std::string& op, const std::string& out, const train::DataRecipe& recipe) {
  std::error_code none;
  if (!train::is_image_source(recipe) || !fs::is_directory(recipe.data, none)) return;
  // A path that begins with what is not there yet stays relative unless it is made absolute first.
  const auto whole = [&none](const std::string& path) { return fs::weakly_canonical(fs::absolute(path), none); };
  check(!data::is_inside(whole(recipe.data), whole(out)), op,
        "expected a folder for the results (--out) that is not among the images in {}; got {}", recipe.data, out);
}

}  // namespace heft::cli
