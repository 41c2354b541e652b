// What continues a Recorder and its lists of samples: their state in tensors, and back.
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "optim/reduction.h"
#include "train/named_state.h"
#include "train/recorder.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "recorder";

Tensor text_tensor(const std::string& text) { return Tensor::from(std::vector<std::uint8_t>(text.begin(), text.end())); }

// The entry, of that type and, unless -1, of that many elements; with `columns`, in rows of so many.
const Tensor& take(const NamedState& state, const std::string& name, DType dtype, std::int64_t count,
                   std::int64_t columns = 0) {
  const auto found = state.find(name);
  const bool fits = found != state.end() && found->second.dtype() == dtype && (count < 0 || found->second.numel() == count) &&
                    (columns == 0 ? found->second.rank() == 1 : found->second.rank() == 2 && found->second.size(1) == columns);
  check(fits, kOp, "expected '{}' in the state of these records; there is none, or one of another data set", name);
  return found->second;
}

std::vector<double> numbers(const NamedState& state, const std::string& name, std::int64_t count = -1) {
  return take(state, name, DType::f64, count).to_vector<double>();
}

// Of a sample, all but its pixels: whole numbers and probabilities alike.
constexpr std::int64_t kNumbers = 9;

NamedState state_of(const std::vector<HardSample>& samples) {
  std::vector<double> rows;
  std::vector<std::uint8_t> pixels;
  for (const HardSample& s : samples) {
    for (const std::int64_t whole : {s.index, s.label, s.clean_label, s.predicted}) rows.push_back(static_cast<double>(whole));
    rows.insert(rows.end(), {s.loss, s.weight, s.confidence, s.label_probability, s.margin});
    pixels.insert(pixels.end(), s.pixels.begin(), s.pixels.end());
  }
  return {{"samples", Tensor::from(rows, {static_cast<std::int64_t>(samples.size()), kNumbers})},
          {"pixels", Tensor::from(pixels)}};
}

std::vector<HardSample> samples_of(const NamedState& state, std::int64_t sources, std::int64_t classes) {
  const Tensor table = take(state, "samples", DType::f64, -1, kNumbers);
  const std::vector<double> rows = table.to_vector<double>();
  const std::vector<std::uint8_t> pixels = take(state, "pixels", DType::u8, -1).to_vector<std::uint8_t>();
  const auto n = static_cast<std::size_t>(table.size(0));
  const std::size_t each = n == 0 ? 0 : pixels.size() / n;
  check(each * n == pixels.size(), kOp, "expected as many pixels of each sample in the state of these records; got {} of {}",
        pixels.size(), n);
  std::vector<HardSample> samples;
  for (std::size_t i = 0; i < n; ++i) {
    const double* row = rows.data() + i * kNumbers;
    const auto whole = [&](std::size_t column, std::int64_t least, std::int64_t end) {
      const double x = row[column];
      check(x >= static_cast<double>(least) && x < static_cast<double>(end) && x == std::floor(x), kOp,
            "expected numbers of samples and classes in the state of these records; got {}", x);
      return static_cast<std::int64_t>(x);
    };
    HardSample& s = samples.emplace_back();
    s = {.index = whole(0, 0, sources),
         .label = whole(1, 0, classes),
         .clean_label = whole(2, -1, classes),
         .predicted = whole(3, 0, classes),
         .loss = row[4],
         .weight = row[5],
         .confidence = row[6],
         .label_probability = row[7],
         .margin = row[8]};
    s.pixels.assign(pixels.begin() + static_cast<std::ptrdiff_t>(i * each),
                    pixels.begin() + static_cast<std::ptrdiff_t>((i + 1) * each));
  }
  return samples;
}

}  // namespace

std::map<std::string, Tensor> HardSamples::state() const {
  NamedState all = {{"margins", Tensor::from(margins_)}, {"seen", Tensor::from(seen_)}};
  put(all, "hardest.", state_of(hardest()));
  put(all, "suspects.", state_of(suspects()));
  return all;
}

void HardSamples::load_state(const std::map<std::string, Tensor>& state, std::int64_t classes) {
  const std::int64_t sources = source_size();
  std::vector<float> margins = take(state, "margins", DType::f32, sources).to_vector<float>();
  std::vector<std::int32_t> seen = take(state, "seen", DType::i32, sources).to_vector<std::int32_t>();
  const auto list_of = [&](const char* name) {
    std::vector<Kept> list;
    for (HardSample& sample : samples_of(part_of(state, name), sources, classes)) list.push_back({std::move(sample)});
    return list;
  };
  std::vector<Kept> hardest = list_of("hardest."), suspects = list_of("suspects.");
  check(std::all_of(seen.begin(), seen.end(), [](std::int32_t n) { return n >= 0; }), kOp,
        "expected counts as 'seen' in the state of these records; there are negative ones");
  check(std::max(hardest.size(), suspects.size()) <= count_, kOp,
        "expected at most {} samples of a kind in the state of these records; got {} and {}", count_, hardest.size(),
        suspects.size());
  margins_ = std::move(margins);
  seen_ = std::move(seen);
  hardest_ = std::move(hardest);
  suspects_ = std::move(suspects);
}

std::map<std::string, Tensor> Recorder::state() {
  take_in_all_but(0);
  check(open_.images.empty(), kOp, "expected a state to be taken after a whole step; parts of one are there");
  steps_.sync();
  snapshots_.sync();
  events_.flush();
  NamedState all = {{"step", optim::number(static_cast<double>(step_))},
                    {"steps.jsonl.lines", optim::number(static_cast<double>(steps_.lines()))},
                    {"snapshots.jsonl.lines", optim::number(static_cast<double>(snapshots_.lines()))},
                    {"epoch.images", optim::number(epoch_.images)},
                    {"epoch.loss", optim::number(epoch_.loss)},
                    {"epoch.weighted_loss", optim::number(epoch_.weighted_loss)},
                    {"epoch.weight_by_class", Tensor::from(epoch_.weight_by_class)},
                    {"epoch.count_by_class", Tensor::from(epoch_.count_by_class)},
                    {"image", Tensor::from(std::vector<std::int64_t>(image_shape_.begin(), image_shape_.end()))},
                    {"shown.losses", Tensor::from(shown_.losses)},
                    {"shown.reduced", Tensor::from(shown_.reduced)},
                    {"shown.priors", Tensor::from(shown_.priors)},
                    {"shown.weights", Tensor::from(shown_.weights)},
                    {"shown.reduction", text_tensor(shown_.reduction)},
                    {"shown.lambda", optim::number(shown_.lambda)}};
  put(all, "shown.", state_of(shown_.samples));
  put(all, "hard.", hard_.state());
  return all;
}

void Recorder::load_state(const std::map<std::string, Tensor>& state) {
  const auto classes = static_cast<std::int64_t>(class_counts_.size());
  const auto take_double = [&](const std::string& name) { return optim::take_number(state, name, kOp); };
  epoch_ = {.images = take_double("epoch.images"),
            .loss = take_double("epoch.loss"),
            .weighted_loss = take_double("epoch.weighted_loss"),
            .weight_by_class = numbers(state, "epoch.weight_by_class", classes),
            .count_by_class = take(state, "epoch.count_by_class", DType::i64, classes).to_vector<std::int64_t>()};
  const std::vector<std::int64_t> image = take(state, "image", DType::i64, -1).to_vector<std::int64_t>();
  check(image.size() <= Shape::kMaxRank, kOp, "expected the shape of an image in the state of these records; it has {} axes",
        image.size());
  image_shape_ = Shape(image);
  shown_ = {};
  shown_.losses = numbers(state, "shown.losses");
  const auto n = static_cast<std::int64_t>(shown_.losses.size());
  shown_.reduced = numbers(state, "shown.reduced", n);
  shown_.priors = numbers(state, "shown.priors");
  shown_.weights = numbers(state, "shown.weights", n);
  const std::vector<std::uint8_t> name = take(state, "shown.reduction", DType::u8, -1).to_vector<std::uint8_t>();
  shown_.reduction.assign(name.begin(), name.end());
  shown_.lambda = take_double("shown.lambda");
  shown_.samples = samples_of(part_of(state, "shown."), hard_.source_size(), classes);
  hard_.load_state(part_of(state, "hard."), classes);
}

}  // namespace heft::train
