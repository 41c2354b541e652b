// Random changes that suit photographs: where the camera pointed, and the light.
#pragma once

#include <cstdint>

#include "data/augment.h"

namespace heft::data {

struct RandomResizedCropOptions {
  // Share of the image's area that is kept, uniform between these: 0 < min_area <= max_area <= 1. ImageNet's 0.08 is meant for
  // originals; an image that is stored at its final size has not the pixels for it.
  double min_area = 0.25;
  double max_area = 1;
  // Width over height of what is kept, its logarithm uniform between those of these: 0 < min_ratio <= max_ratio.
  double min_ratio = 3.0 / 4;
  double max_ratio = 4.0 / 3;
  std::int64_t size = 0;  // edge of the result; 0: height and width as they were
};
// Cuts a rectangle of random area, shape and place out and resizes it (data/resize.h; Szegedy et al., "Going deeper with
// convolutions", CVPR 2015, section 6). Ten tries at one that fits; after that, the largest in the middle with a ratio that is
// allowed.
Augmentation random_resized_crop(const RandomResizedCropOptions& options = {});

struct ColorJitterOptions {
  // Each a factor that is uniform in [max(0, 1 - x), 1 + x]; x >= 0, and 0 leaves that one out.
  double brightness = 0.4;  // of the pixels
  double contrast = 0.4;    // of their distance to the mean grey of the image
  double saturation = 0.4;  // of their distance to their own grey; nothing for images of one channel
  // A turn of every pixel's hue (HSV), uniform in [-x, x] of the circle, 0 <= x <= 0.5; nothing for images of one channel.
  double hue = 0;
};
// As torchvision's ColorJitter: in an order that is random too, each cut off at 0 and 1, between which the pixels are meant to
// be. Images of 1 channel or 3.
Augmentation color_jitter(const ColorJitterOptions& options = {});

}  // namespace heft::data
