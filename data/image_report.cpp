#include "data/image_report.h"

#include <map>
#include <tuple>

#include "core/parallel.h"
#include "core/random.h"
#include "data/image_pixels.h"
#include "data/threads.h"

namespace heft::data {

namespace {

constexpr const char* kOp = "inspect_images";

}  // namespace

ImageReport inspect_images(const std::vector<ImagePart>& parts, int threads, const ImageLimits& limits) {
  struct Task {
    std::size_t part, file;
    std::uint64_t bytes = 0, digest = 0;
  };
  ImageReport report;
  std::vector<Task> tasks;
  for (std::size_t part = 0; part < parts.size(); ++part) {
    report.parts.emplace_back(parts[part].scan.files.size());
    for (std::size_t file = 0; file < parts[part].scan.files.size(); ++file) tasks.push_back({part, file});
  }
  in_threads(tasks.size(), threads == 0 ? num_threads() : threads, [&](std::size_t i) {
    Task& task = tasks[i];
    ImageRecord& record = report.parts[task.part][task.file];
    record.file = task.file;
    const std::filesystem::path& path = parts[task.part].scan.files[task.file].path;
    try {
      const std::vector<std::byte> bytes = read_image_file(kOp, path, limits.file_bytes, limits);
      record.info = parse_image_header(kOp, bytes, path.string(), limits).info;
      decode_pixels(kOp, bytes, {.limits = limits}, path.string());
      task.bytes = bytes.size();
      // With the length, 64 bits: two images of a data set that share them by chance are not to be expected.
      task.digest = stream_of({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    } catch (const std::exception& error) {
      record.reason = reason_of(error, path.string());
    }
  });
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<const Task*>> alike;
  for (const Task& task : tasks)
    if (report.parts[task.part][task.file].reason.empty()) alike[{task.bytes, task.digest}].push_back(&task);
  std::map<std::pair<std::size_t, std::size_t>, DuplicateImages> ordered;
  for (const auto& [key, same] : alike) {
    if (same.size() < 2) continue;
    DuplicateImages& duplicates = ordered[{same.front()->part, same.front()->file}];
    for (const Task* task : same) duplicates.files.emplace_back(task->part, task->file);
  }
  for (auto& [first, duplicates] : ordered) report.duplicates.push_back(std::move(duplicates));
  return report;
}

}  // namespace heft::data
