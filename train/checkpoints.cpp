#include "train/checkpoints.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "core/check.h"
#include "train/read_number.h"

namespace heft::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOp = "checkpoints";
constexpr std::string_view kPrefix = "epoch-", kSuffix = ".safetensors";

fs::path kept_folder(const std::string& folder) { return fs::path(folder) / "checkpoints"; }

// By epoch.
std::map<int, fs::path> kept_in(const std::string& folder) {
  std::map<int, fs::path> kept;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(kept_folder(folder), error)) {
    const std::string name = entry.path().filename().string();
    int epoch = 0;
    if (name.size() > kPrefix.size() + kSuffix.size() && name.starts_with(kPrefix) && name.ends_with(kSuffix) &&
        read_number(std::string_view(name).substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size()), epoch))
      kept[epoch] = entry.path();
  }
  return kept;
}

}  // namespace

CheckpointOptions read_checkpoint_every(const std::string& text) {
  constexpr std::string_view kMinutes = "min";
  CheckpointOptions options{.seconds = std::numeric_limits<double>::infinity()};
  if (text == "epoch") return options;
  if (read_number(std::string_view(text), options.steps) && options.steps >= 1) return options;
  double minutes = 0;
  check(text.ends_with(kMinutes) && read_number(std::string_view(text).substr(0, text.size() - kMinutes.size()), minutes) &&
            minutes > 0,
        kOp, "expected checkpoints every so many steps (100), every so many minutes (5min), or every epoch; got '{}'", text);
  return {.seconds = 60 * minutes};
}

std::string newest_state(const std::string& folder) { return (fs::path(folder) / "state.safetensors").string(); }

std::string last_kept(const std::string& folder) {
  const auto kept = kept_in(folder);
  return kept.empty() ? "" : kept.rbegin()->second.string();
}

void remove_checkpoints(const std::string& folder) {
  std::error_code none;
  fs::remove(newest_state(folder), none);
  for (const auto& [epoch, path] : kept_in(folder)) fs::remove(path, none);
  if (fs::is_empty(kept_folder(folder), none)) fs::remove(kept_folder(folder), none);
}

Checkpoints::Checkpoints(std::string folder, const CheckpointOptions& options) : folder_(std::move(folder)), options_(options) {
  check(options.steps >= 1, kOp, "expected steps >= 1; got {}", options.steps);
  check(options.seconds > 0, kOp, "expected seconds above 0; got {}", options.seconds);
  check(options.keep >= 0, kOp, "expected keep >= 0; got {}", options.keep);
}

bool Checkpoints::due() {
  ++steps_;
  return steps_ >= options_.steps || std::chrono::duration<double>(Clock::now() - last_).count() >= options_.seconds;
}

void Checkpoints::save(const Module& net, const optim::Optimizer& opt, const RunState& state) {
  const bool is_epoch = state.part == nullptr && state.epochs > 0;
  // A file of its own and no second name of the first: where a disk damages one, there is the other.
  if (is_epoch && options_.keep > 0) {
    std::error_code error;
    fs::create_directories(kept_folder(folder_), error);
    check<WriteError>(!error, "checkpoints", "expected to write {}; the system says: {}", kept_folder(folder_).string(),
                      error.message());
    const std::string name = fmt::format("{}{:04}{}", kPrefix, state.epochs, kSuffix);
    save_run((kept_folder(folder_) / name).string(), net, opt, state);
  }
  save_run(newest_state(folder_), net, opt, state);
  if (is_epoch)
    for (const auto& [epoch, path] : kept_in(folder_)) {
      std::error_code error;
      if (epoch > state.epochs || epoch <= state.epochs - options_.keep) fs::remove(path, error);
    }
  steps_ = 0;
  last_ = Clock::now();
}

}  // namespace heft::train
