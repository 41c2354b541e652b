#include "train/hard_samples.h"

#include <algorithm>
#include <cmath>

namespace heft::train {
namespace {

// Puts `sample` where it belongs in a list of at most `count` that rises in `key`. Returns it, or null where there is no place
// for it. A sampler may draw a sample twice: the one of the lower key stays.
template <class Key>
HardSample* insert(std::vector<HardSample>& list, std::size_t count, const HardSample& sample, Key key) {
  if (list.size() >= count && key(list.back()) <= key(sample)) return nullptr;  // most of them
  const auto same = std::find_if(list.begin(), list.end(), [&](const HardSample& s) { return s.index == sample.index; });
  if (same != list.end()) {
    if (key(*same) <= key(sample)) return nullptr;
    list.erase(same);
  }
  const auto place = std::upper_bound(list.begin(), list.end(), sample,
                                      [&](const HardSample& a, const HardSample& b) { return key(a) < key(b); });
  HardSample* kept = &*list.insert(place, sample);
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
  HardSample* hard = insert(hardest_, count_, sample, [](const HardSample& s) { return -s.loss; });
  if (hard) hard->pixels = pixels(images, i);
  if (sample.margin >= 0) return;
  HardSample* suspect = insert(suspects_, count_, sample, [](const HardSample& s) { return s.margin; });
  if (suspect) suspect->pixels = pixels(images, i);
}

std::vector<std::uint8_t> HardSamples::pixels(const Tensor& images, std::int64_t i) const {
  if (images.rank() != 4 || (images.size(1) != 1 && images.size(1) != 3)) return {};
  const std::vector<float> values = images.select(0, i).to(Device::cpu()).to_vector<float>();
  const std::size_t plane = values.size() / static_cast<std::size_t>(images.size(1));
  std::vector<std::uint8_t> bytes(values.size());
  for (std::size_t k = 0; k < values.size(); ++k) {
    double x = values[k];
    if (!normalize_.empty()) x = x * normalize_.std[k / plane] + normalize_.mean[k / plane];
    bytes[k] = static_cast<std::uint8_t>(std::lround(255 * std::clamp(x, 0.0, 1.0)));
  }
  return bytes;
}

}  // namespace heft::train
