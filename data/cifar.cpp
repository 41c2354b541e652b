#include "data/cifar.h"

#include <filesystem>
#include <memory>
#include <sstream>
#include <vector>

#include "core/check.h"
#include "data/byte_source.h"

namespace heft::data {

namespace {

constexpr const char* kOp = "cifar";
constexpr std::int64_t kChannels = 3, kEdge = 32;
constexpr std::uint64_t kImageBytes = kChannels * kEdge * kEdge;
constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 30;  // of a file: what five hold together is far from 2^63
constexpr std::int64_t kSuperclasses = 20;

constexpr const char* kNames10 = "airplane automobile bird cat deer dog frog horse ship truck";
constexpr const char* kNames100 =
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle "
    "caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish "
    "forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle "
    "mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine "
    "possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar "
    "sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree "
    "wolf woman worm";

std::vector<std::string> words(const char* text) {
  std::istringstream stream(text);
  std::vector<std::string> out;
  for (std::string word; stream >> word;) out.push_back(word);
  return out;
}

std::vector<std::string> file_names(const CifarOptions& options) {
  if (options.classes == 100) return {options.train ? "train.bin" : "test.bin"};
  if (!options.train) return {"test_batch.bin"};
  return {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"};
}

// How many records the file holds.
std::int64_t count_records(ByteSource& source, std::uint64_t record_bytes) {
  const std::uint64_t bytes = source.remaining(kMaxBytes + 1);
  check<DataError>(bytes <= kMaxBytes, kOp, "expected at most {} bytes; {} holds more", kMaxBytes, source.name());
  check<DataError>(bytes > 0 && bytes % record_bytes == 0, kOp,
                   "expected one or more records of {} bytes; {} holds {} bytes, which is {} records and {} bytes over",
                   record_bytes, source.name(), bytes, bytes / record_bytes, bytes % record_bytes);
  return static_cast<std::int64_t>(bytes / record_bytes);
}

std::int64_t read_label(ByteSource& source, std::int64_t record, const char* what, std::int64_t classes) {
  std::uint8_t label = 0;
  source.read(&label, 1);
  check<DataError>(label < classes, kOp, "expected a {} in [0, {}); record {} of {} has {}", what, classes, record,
                   source.name(), label);
  return label;
}

}  // namespace

DatasetPtr cifar(const CifarOptions& options) {
  check(options.classes == 10 || options.classes == 100, kOp, "expected classes of 10 or 100; got {}", options.classes);
  const std::vector<std::string> names = file_names(options);
  check(!options.dir.empty(), kOp, "expected dir to name the directory of {}; got none", fmt::join(names, ", "));
  const bool has_superclass = options.classes == 100;
  const std::string advice = fmt::format("dir holds the files of the CIFAR-{} binary version", options.classes);
  std::vector<std::unique_ptr<ByteSource>> sources;
  std::vector<std::int64_t> counts;
  std::int64_t n = 0;
  for (const std::string& name : names) {
    sources.push_back(std::make_unique<ByteSource>(kOp, find_plain_or_gzip(kOp, options.dir, name, advice)));
    counts.push_back(count_records(*sources.back(), kImageBytes + (has_superclass ? 2 : 1)));
    n += counts.back();
  }
  Tensor images = Tensor::empty({n, kChannels, kEdge, kEdge}, DType::u8);
  auto* pixels = images.mutable_data<std::uint8_t>();
  std::vector<std::int64_t> labels, superclasses;
  for (std::size_t i = 0; i < sources.size(); ++i)
    for (std::int64_t record = 0; record < counts[i]; ++record, pixels += kImageBytes) {
      if (has_superclass) superclasses.push_back(read_label(*sources[i], record, "superclass", kSuperclasses));
      labels.push_back(read_label(*sources[i], record, "label", options.classes));
      sources[i]->read(pixels, kImageBytes);
    }
  return memory_dataset(images, Tensor::from(labels),
                        {.classes = options.classes,
                         .class_names = words(has_superclass ? kNames100 : kNames10),
                         .groups = has_superclass ? Tensor::from(superclasses) : Tensor()});
}

}  // namespace heft::data
