#include "train/hard_samples.h"

#include <algorithm>
#include <cmath>

namespace heft::train {
namespace {

// Puts `sample` where it belongs in a list of at most `count` that rises in `key`. Returns it, or null where there is no place
// for it. A sampler may draw a sample twice: the one of the lower key stays.
template <class Kept, class Key>
Kept* insert(std::vector<Kept>& list, std::size_t count, const HardSample& sample, Key key_of) {
  const auto key = [&](const Kept& kept) { return key_of(kept.sample); };
  if (list.size() >= count && key(list.back()) <= key_of(sample)) return nullptr;  // most of them
  const auto same = std::find_if(list.begin(), list.end(), [&](const Kept& kept) { return kept.sample.index == sample.index; });
  if (same != list.end()) {
    if (key(*same) <= key_of(sample)) return nullptr;
    list.erase(same);
  }
  const auto place = std::upper_bound(list.begin(), list.end(), key_of(sample),
                                      [&](double value, const Kept& kept) { return value < key(kept); });
  Kept* kept = &*list.insert(place, Kept{sample});
  if (list.size() > count) list.pop_back();
  return kept;
}

}  // namespace

HardSamples::HardSamples(int count, std::int64_t source_size, data::Normalization normalize)
    : count_(static_cast<std::size_t>(count)),
      normalize_(std::move(normalize)),
      margins_(static_cast<std::size_t>(source_size)),
      seen_(margins_.size()) {}

void HardSamples::begin_epoch() {
  hardest_.clear();
  suspects_.clear();
}

void HardSamples::add(HardSample sample, const Tensor& images, std::int64_t i) {
  const auto at = static_cast<std::size_t>(sample.index);
  margins_[at] += static_cast<float>(sample.margin);
  sample.margin = static_cast<double>(margins_[at]) / ++seen_[at];
  const auto keep = [&](std::vector<Kept>& list, auto key) {
    Kept* kept = insert(list, count_, sample, key);
    if (kept && images.rank() == 4 && (images.size(1) == 1 || images.size(1) == 3)) kept->image = images.select(0, i).clone();
  };
  keep(hardest_, [](const HardSample& s) { return -s.loss; });
  if (sample.margin < 0) keep(suspects_, [](const HardSample& s) { return s.margin; });
}

std::vector<HardSample> HardSamples::with_pixels(const std::vector<Kept>& kept) const {
  std::vector<HardSample> samples;
  for (const auto& [sample, image] : kept) {
    samples.push_back(sample);
    if (!image.defined()) continue;
    const std::vector<float> values = image.to(Device::cpu()).to_vector<float>();
    const std::size_t plane = values.size() / static_cast<std::size_t>(image.size(0));
    std::vector<std::uint8_t>& bytes = samples.back().pixels;
    bytes.resize(values.size());
    for (std::size_t k = 0; k < values.size(); ++k) {
      double x = values[k];
      if (!normalize_.empty()) x = x * normalize_.std[k / plane] + normalize_.mean[k / plane];
      bytes[k] = static_cast<std::uint8_t>(std::lround(255 * std::clamp(x, 0.0, 1.0)));
    }
  }
  return samples;
}

}  // namespace heft::train
