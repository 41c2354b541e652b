#include "data/relabel.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "data/around.h"
#include "data/byte_source.h"
#include "data/npy.h"

namespace heft::data {

namespace {

constexpr const char* kOp = "relabelled";

class Relabelled : public Around {
 public:
  // `labels`: by Sample::index.
  Relabelled(DatasetPtr base, const std::vector<std::int64_t>& labels) : Around(std::move(base), kOp) {
    for (const std::int64_t index : this->base().indices()) {
      check<DataError>(index >= 0 && index < source_size(), kOp, "expected indices in [0, {}); a sample has {}", source_size(),
                       index);
      labels_.push_back(labels[static_cast<std::size_t>(index)]);
    }
  }
  std::vector<std::int64_t> labels() const override { return labels_; }
  std::vector<std::int64_t> indices() const override { return base().indices(); }
  Sample get(std::int64_t position) const override {
    Sample sample = base().get(position);
    if (sample.clean_label == -1) sample.clean_label = sample.label;
    sample.label = labels_[static_cast<std::size_t>(position)];
    return sample;
  }
  Batch get_batch(std::span<const std::int64_t> positions) const override {
    Batch batch = base().get_batch(positions);
    std::vector<std::int64_t> labels, clean = batch.labels.to_vector<std::int64_t>();
    for (std::size_t i = 0; i < positions.size(); ++i) {
      labels.push_back(labels_[static_cast<std::size_t>(positions[i])]);
      if (!batch.clean_labels.defined()) continue;
      const std::int64_t known = batch.clean_labels.data<std::int64_t>()[i];
      if (known != -1) clean[i] = known;
    }
    batch.labels = Tensor::from(labels);
    batch.clean_labels = Tensor::from(clean);
    return batch;
  }

 private:
  std::vector<std::int64_t> labels_;  // by position
};

// `from`: where the labels come from, for the message.
void check_range(const std::vector<std::int64_t>& labels, std::int64_t classes, const std::string& from) {
  for (std::size_t i = 0; i < labels.size(); ++i)
    check<DataError>(labels[i] >= 0 && labels[i] < classes, kOp, "expected labels in [0, {}); number {} of {} is {}", classes,
                     i, from, labels[i]);
}

bool is_npy(const std::filesystem::path& path) {
  constexpr std::string_view kMagic = "\x93NUMPY";
  ByteSource source(kOp, path);
  std::array<char, kMagic.size()> start{};
  if (source.remaining(start.size()) < start.size()) return false;
  source.read(start.data(), start.size());
  return std::string_view(start.data(), start.size()) == kMagic;
}

Tensor read_bytes(const std::filesystem::path& path, std::int64_t n) {
  ByteSource source(kOp, path);
  const auto expected = static_cast<std::uint64_t>(n);
  const std::uint64_t present = source.remaining(expected + 1);
  check<DataError>(present == expected, kOp, "expected {} bytes, one for each label; {} holds {}", expected, source.name(),
                   present < expected ? fmt::format("only {}", present) : std::string("more"));
  Tensor out = Tensor::empty({n}, DType::u8);
  source.read(out.mutable_raw(), expected);
  return out;
}

Tensor read_array(const std::filesystem::path& path, std::int64_t n) {
  Tensor out = read_npy(path);
  const bool integers = out.dtype() == DType::u8 || out.dtype() == DType::i32 || out.dtype() == DType::i64;
  check<DataError>(integers && out.shape() == Shape{n}, kOp,
                   "expected an array of u8, i32 or i64 of shape {}; {} holds {} of {}", Shape{n}, path.string(), out.dtype(),
                   out.shape());
  return out;
}

}  // namespace

DatasetPtr relabelled(DatasetPtr dataset, const std::vector<std::int64_t>& labels) {
  check(dataset != nullptr, kOp, "expected a data set; got a null pointer");
  check<ShapeError>(static_cast<std::int64_t>(labels.size()) == dataset->source_size(), kOp,
                    "expected a label for each of {} samples of the source; got {}", dataset->source_size(), labels.size());
  check_range(labels, dataset->classes(), "the labels");
  return std::make_shared<Relabelled>(std::move(dataset), labels);
}

DatasetPtr relabelled_from_file(DatasetPtr dataset, const std::filesystem::path& path) {
  check(dataset != nullptr, kOp, "expected a data set; got a null pointer");
  const std::int64_t n = dataset->source_size();
  const auto labels = (is_npy(path) ? read_array(path, n) : read_bytes(path, n)).to_vector<std::int64_t>();
  check_range(labels, dataset->classes(), path.string());
  return std::make_shared<Relabelled>(std::move(dataset), labels);
}

NoiseRate noise_rate(const DatasetPtr& dataset) {
  constexpr const char* kRateOp = "noise_rate";
  check(dataset != nullptr, kRateOp, "expected a data set; got a null pointer");
  constexpr std::int64_t kPiece = 256;
  std::vector<std::int64_t> wrong(static_cast<std::size_t>(dataset->classes())), known(wrong.size());
  for (std::int64_t begin = 0; begin < dataset->size(); begin += kPiece) {
    std::vector<std::int64_t> positions;
    for (std::int64_t i = begin; i < std::min(begin + kPiece, dataset->size()); ++i) positions.push_back(i);
    const Batch batch = dataset->get_batch(positions);
    if (!batch.clean_labels.defined()) continue;
    const auto labels = batch.labels.to_vector<std::int64_t>(), clean = batch.clean_labels.to_vector<std::int64_t>();
    for (std::size_t i = 0; i < clean.size(); ++i) {
      if (clean[i] == -1) continue;
      check<DataError>(clean[i] >= 0 && clean[i] < dataset->classes(), kRateOp,
                       "expected clean labels in [0, {}); sample {} has {}", dataset->classes(), positions[i], clean[i]);
      ++known[static_cast<std::size_t>(clean[i])];
      wrong[static_cast<std::size_t>(clean[i])] += labels[i] != clean[i];
    }
  }
  NoiseRate rate;
  std::int64_t all_wrong = 0, all_known = 0;
  for (std::size_t c = 0; c < known.size(); ++c) {
    rate.by_class.push_back(known[c] > 0 ? static_cast<double>(wrong[c]) / static_cast<double>(known[c]) : 0);
    all_wrong += wrong[c];
    all_known += known[c];
  }
  check(all_known > 0, kRateOp, "expected samples with a clean label; none of {} has one", dataset->size());
  rate.overall = static_cast<double>(all_wrong) / static_cast<double>(all_known);
  return rate;
}

}  // namespace heft::data
