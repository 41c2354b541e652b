#include "data/image_folder.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <numeric>
#include <optional>
#include <utility>

#include "core/check.h"
#include "core/parallel.h"
#include "core/random.h"
#include "data/image_cache.h"
#include "data/image_pixels.h"
#include "data/resize_loop.h"
#include "data/threads.h"

namespace heft::data {

namespace {

constexpr const char* kOp = "image_folder";

// One file as `channels` x size x size bytes. Throws DataError.
void decode_file(const ImageFile& file, std::int64_t channels, std::int64_t size, const ImageLimits& limits, std::uint8_t* to) {
  thread_local ResizeScratch scratch;
  const std::vector<std::byte> bytes = read_image_file(kOp, file.path, limits.file_bytes, limits);
  const Pixels pixels = decode_pixels(kOp, bytes, {.channels = channels, .limits = limits}, file.path.string());
  const Box box = centre_box(pixels.height, pixels.width, size, size);
  resize_loop(pixels.data.get(), pixels.width * pixels.channels, pixels.channels, pixels.channels,
              resize_taps(pixels.height, box.top, box.height, size), resize_taps(pixels.width, box.left, box.width, size), to,
              scratch);
  for (std::int64_t c = pixels.channels; c < channels; ++c) std::copy_n(to, size * size, to + c * size * size);
}

// Samples whose pixels, u8 of one shape, come from a function that may be called from several threads.
class FileImages : public Dataset {
 public:
  using Fetch = std::function<void(std::int64_t position, std::uint8_t* to)>;
  FileImages(Shape shape, std::vector<std::int64_t> labels, std::vector<std::string> names, Fetch fetch)
      : shape_(shape), labels_(std::move(labels)), names_(std::move(names)), fetch_(std::move(fetch)) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(labels_.size()); }
  std::int64_t classes() const override { return static_cast<std::int64_t>(names_.size()); }
  std::vector<std::string> class_names() const override { return names_; }
  std::vector<std::int64_t> labels() const override { return labels_; }
  std::vector<std::int64_t> indices() const override {
    std::vector<std::int64_t> out(labels_.size());
    std::iota(out.begin(), out.end(), 0);
    return out;
  }

  Sample get(std::int64_t position) const override {
    const std::int64_t positions[] = {position};
    const Batch batch = get_batch(positions);
    return {.image = batch.images.reshape(shape_), .label = labels_[static_cast<std::size_t>(position)], .index = position};
  }

  Batch get_batch(std::span<const std::int64_t> positions) const override {
    for (const std::int64_t position : positions)
      check<ShapeError>(position >= 0 && position < size(), kOp, "expected a position in [0, {}); got {}", size(), position);
    const auto n = static_cast<std::int64_t>(positions.size());
    Batch batch{.images = Tensor::empty(shape_.inserted(0, n)),
                .labels = Tensor::empty({n}, DType::i64),
                .indices = Tensor::empty({n}, DType::i64)};
    std::copy(positions.begin(), positions.end(), batch.indices.mutable_data<std::int64_t>());
    std::int64_t* label = batch.labels.mutable_data<std::int64_t>();
    float* to = batch.images.mutable_data<float>();
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(shape_.numel()));
    for (const std::int64_t position : positions) {
      fetch_(position, pixels.data());
      *label++ = labels_[static_cast<std::size_t>(position)];
      for (const std::uint8_t pixel : pixels) *to++ = static_cast<float>(pixel) / 255.0f;
    }
    return batch;
  }

 private:
  Shape shape_;
  std::vector<std::int64_t> labels_;
  std::vector<std::string> names_;
  Fetch fetch_;
};

// What went wrong with each file of a scan; empty: nothing.
using Reasons = std::vector<std::string>;

// Runs work on each file that has no reason yet, and notes its DataErrors.
void try_all(const std::vector<ImageFile>& files, int threads, Reasons& reasons, const std::function<void(std::size_t)>& work) {
  in_threads(files.size(), threads, [&](std::size_t i) {
    if (!reasons[i].empty()) return;
    try {
      work(i);
    } catch (const std::exception& error) {
      reasons[i] = reason_of(error, files[i].path.string());
    }
  });
}

std::int64_t common_channels(const ImageScan& scan, const ImageFolderOptions& options, int threads, Reasons& reasons) {
  if (options.channels != 0) return options.channels;
  std::atomic<bool> colour{false};
  try_all(scan.files, threads, reasons, [&](std::size_t i) {
    if (read_image_info(scan.files[i].path, options.limits).channels >= 3) colour = true;
  });
  return colour ? 3 : 1;
}

// All that the pixels of a cache depend on. A zero byte ends a name, which has none.
std::string describe(const ImageScan& scan, std::int64_t channels, const ImageFolderOptions& options) {
  std::string text = fmt::format("size {} channels {} side {} pixels {} file {}\n", options.size, channels, options.limits.side,
                                 options.limits.pixel_bytes, options.limits.file_bytes);
  for (const ImageFile& file : scan.files) {
    text += file.name;
    text += '\0';
    text += fmt::format("{} {}\n", file.bytes, file.changed);
  }
  return text;
}

// The cache file of the scan: found, or filled by `decode`.
std::shared_ptr<ImageCache> cached(const ImageScan& scan, const ImageFolderOptions& options, std::int64_t channels, int threads,
                                   Reasons& reasons, const std::function<void(std::size_t, std::uint8_t*)>& decode) {
  // Named by the place, not by what is in it, so that an outdated file is replaced and not left lying.
  const std::filesystem::path path =
      (options.cache_folder.empty() ? default_cache_folder() : std::filesystem::path(options.cache_folder)) /
      fmt::format("images-{:016x}.cache", stream_of(scan.source.string(), static_cast<std::uint64_t>(options.size),
                                                    static_cast<std::uint64_t>(channels)));
  const std::string description = describe(scan, channels, options);
  const auto image_bytes = static_cast<std::size_t>(channels * options.size * options.size);
  const CacheContents contents{.description = description, .images = scan.files.size(), .image_bytes = image_bytes};
  if (std::shared_ptr<ImageCache> found = ImageCache::open(path, contents)) {
    std::vector<std::uint8_t> again(image_bytes);
    for (std::size_t i = 0; i < scan.files.size(); ++i)  // why a file is broken is not in the cache
      if (found->marks()[i] != 0 && reasons[i].empty()) {
        reasons[i] = "could not be read when the cache was made";
        try {
          decode(i, again.data());
        } catch (const std::exception& error) {
          reasons[i] = reason_of(error, scan.files[i].path.string());
        }
      }
    return found;
  }
  std::shared_ptr<ImageCache> made = ImageCache::create(path, contents);
  try_all(scan.files, threads, reasons, [&](std::size_t i) { decode(i, made->pixels() + i * image_bytes); });
  for (std::size_t i = 0; i < reasons.size(); ++i) made->marks()[i] = reasons[i].empty() ? 0 : 1;
  made->finish();
  return made;
}

}  // namespace

void check_usable(const ImageScan& scan, const ImageCounts& counts, const ImageFolderOptions& options) {
  const std::vector<BrokenFile>& broken = counts.broken;
  const std::string root = scan.source.string();
  constexpr std::size_t kNamed = 5;
  if (options.broken == WhenBroken::error && !broken.empty()) {
    std::string named;
    for (std::size_t i = 0; i < std::min(kNamed, broken.size()); ++i)
      named += fmt::format("{}{} {}", i == 0 ? "" : "; ", broken[i].name, broken[i].reason);
    fail<DataError>(kOp,
                    "expected every file in {} to be an image that can be read; {} of {} are not: {}{} (skipping broken files, "
                    "--broken skip, leaves them out; heft inspect data names them all)",
                    root, broken.size(), scan.files.size() + scan.broken.size(), named, broken.size() > kNamed ? "; ..." : "");
  }
  std::error_code none;
  const bool is_list = std::filesystem::is_regular_file(scan.source, none);
  const auto listed = [](const std::vector<std::string>& names) { return fmt::format("{}", fmt::join(names, ", ")); };
  check<DataError>(!options.class_names.empty() || scan.class_names.size() >= 2, kOp,
                   "expected the images of two classes or more in {}; got {}", root,
                   scan.class_names.empty() ? std::string("none, ") + (is_list ? "it names no image" : "there is no sub-folder")
                                            : "those of " + scan.class_names.front() + " alone");
  check<DataError>(options.class_names.empty() || scan.class_names == options.class_names, kOp,
                   "expected the classes {} in {}; got {}", listed(options.class_names), root, listed(scan.class_names));
  for (std::size_t c = 0; c < counts.by_class.size(); ++c)
    check<DataError>(counts.by_class[c] > 0, kOp, "expected images of every class in {}; {} has none that can be read", root,
                     scan.class_names[c]);
}

ImageFolder load_images(const ImageScan& scan, const ImageFolderOptions& options) {
  check(options.size >= 1 && options.size <= options.limits.side, kOp, "expected size in [1, {}]; got {}", options.limits.side,
        options.size);
  check(options.channels == 0 || options.channels == 1 || options.channels == 3, kOp,
        "expected channels 1 or 3, or 0 for those of the images; got {}", options.channels);
  check(options.threads >= 0, kOp, "expected threads >= 0; got {}", options.threads);
  const int threads = options.threads == 0 ? num_threads() : options.threads;
  Reasons reasons(scan.files.size());
  const std::int64_t channels = common_channels(scan, options, threads, reasons);
  const Shape shape{channels, options.size, options.size};
  const auto image_bytes = static_cast<std::size_t>(shape.numel());
  const auto decode = [files = scan.files, channels, size = options.size, limits = options.limits](
                          std::size_t i, std::uint8_t* to) { decode_file(files[i], channels, size, limits, to); };

  std::function<const std::uint8_t*(std::size_t)> stored;  // where image i of the scan is; null: nowhere
  if (options.cache == ImageCaching::memory) {
    Tensor all = Tensor::empty(shape.inserted(0, static_cast<std::int64_t>(scan.files.size())), DType::u8);
    std::uint8_t* start = all.mutable_data<std::uint8_t>();
    try_all(scan.files, threads, reasons, [&](std::size_t i) { decode(i, start + i * image_bytes); });
    stored = [all, start, image_bytes](std::size_t i) { return start + i * image_bytes; };
  } else if (options.cache == ImageCaching::file) {
    const std::shared_ptr<ImageCache> file = cached(scan, options, channels, threads, reasons, decode);
    stored = [file, image_bytes](std::size_t i) { return file->pixels() + i * image_bytes; };
  } else {
    try_all(scan.files, threads, reasons, [&](std::size_t i) {
      std::vector<std::uint8_t> pixels(image_bytes);
      decode(i, pixels.data());
    });
  }

  ImageCounts counts{.broken = scan.broken, .by_class = std::vector<std::int64_t>(scan.class_names.size())};
  std::vector<std::size_t> kept;  // by position
  std::vector<std::int64_t> labels;
  for (std::size_t i = 0; i < scan.files.size(); ++i) {
    if (!reasons[i].empty()) {
      counts.broken.push_back({scan.files[i].name, reasons[i]});
      continue;
    }
    kept.push_back(i);
    labels.push_back(scan.files[i].label);
    ++counts.by_class[static_cast<std::size_t>(labels.back())];
  }
  check_usable(scan, counts, options);
  FileImages::Fetch fetch;
  if (stored)
    fetch = [stored, kept, image_bytes](std::int64_t position, std::uint8_t* to) {
      std::memcpy(to, stored(kept[static_cast<std::size_t>(position)]), image_bytes);
    };
  else
    fetch = [decode, kept](std::int64_t position, std::uint8_t* to) { decode(kept[static_cast<std::size_t>(position)], to); };
  return {.dataset = std::make_shared<FileImages>(shape, std::move(labels), scan.class_names, std::move(fetch)),
          .skipped = std::move(counts.broken)};
}

DatasetPtr image_folder(const std::string& folder, const ImageFolderOptions& options) {
  return load_images(scan_image_folder(folder), options).dataset;
}

DatasetPtr image_list(const std::string& list, const ImageFolderOptions& options) {
  return load_images(scan_image_list(list), options).dataset;
}

}  // namespace heft::data
