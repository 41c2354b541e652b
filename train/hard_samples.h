// HardSamples: which training samples an epoch found hardest, and which may carry a wrong label.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "data/normalize.h"

namespace heft::train {

struct HardSample {
  std::int64_t index = 0;  // Sample::index
  std::int64_t label = 0;
  std::int64_t clean_label = -1;  // before noise; -1: unknown
  std::int64_t predicted = 0;
  double loss = 0;
  double weight = 0;      // of the reduction
  double confidence = 0;  // probability of the prediction
  double label_probability = 0;
  // p(label) - the largest p of another class. In HardSamples' lists, its mean over the passes so far: the area under the
  // margin of Pleiss et al. (NeurIPS 2020), of probabilities. A wrong label stays far below 0 for most of a run, even if it is
  // learnt by heart in the end.
  double margin = 0;
  // (C, H, W), as the network saw it: after augmentation, normalisation undone. Empty unless C is 1 or 3.
  std::vector<std::uint8_t> pixels = {};
};

// What the training pass itself computes, so it costs no evaluation: losses and predictions are those of the moment at which
// the sample's batch came. Margins are those since the object was made, or since that from which a state was taken.
class HardSamples {
 public:
  // Keeps `count` of each kind; indices lie in [0, source_size).
  HardSamples(int count, std::int64_t source_size, data::Normalization normalize);
  // images: f32 (N, C, H, W), of which the sample is number i. A GPU is not waited for.
  void add(HardSample sample, const Tensor& images, std::int64_t i);
  void begin_epoch();
  std::int64_t source_size() const { return static_cast<std::int64_t>(margins_.size()); }

  // Of this epoch, each sample once.
  std::vector<HardSample> hardest() const { return with_pixels(hardest_); }    // largest loss first
  std::vector<HardSample> suspects() const { return with_pixels(suspects_); }  // lowest margin first, all below 0

  // "margins", "seen", and the lists. load_state throws ValueError naming what does not fit, and changes nothing then; labels
  // lie in [0, classes).
  std::map<std::string, Tensor> state() const;
  void load_state(const std::map<std::string, Tensor>& state, std::int64_t classes);

 private:
  // Most of them are not kept for long, so that their pixels are made when somebody asks.
  struct Kept {
    HardSample sample;
    Tensor image = {};  // of its own; undefined: its pixels are there, or it is no picture
  };
  std::vector<HardSample> with_pixels(const std::vector<Kept>& kept) const;

  std::size_t count_;
  data::Normalization normalize_;
  std::vector<float> margins_;  // sums, by index
  std::vector<std::int32_t> seen_;
  std::vector<Kept> hardest_, suspects_;
};

}  // namespace heft::train
