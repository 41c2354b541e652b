// Batch normalisation of f32 images with ReLU and the residual's addition, in as few passes over memory as there can be: two
// forward (statistics; result) and two backward (sums; gradient). Internal to core/cpu.
//
// What is summed up together depends on the shape and the layout alone: the number of threads changes no bit.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/backend.h"

namespace heft::norm {

// How images lie in memory, as vectors of W floats: `groups` of channels, each of which has in every image `vectors` vectors,
// `step` floats apart, and perhaps part of another. Lane i of a group's vectors belongs to its channel i % period.
struct Walk {
  std::int64_t images = 0, channels = 0, pixels = 0;  // images that lie side by side count as one
  std::int64_t block = 0;  // channels side by side: 1 row-major, 8 or 16 in a blocked format, all of them channels-last
  std::int64_t width = 0;  // W
  std::int64_t period = 0, groups = 0;
  std::int64_t image_stride = 0, step = 0, vectors = 0, tail = 0;  // in floats, floats, -, floats
  // A group is worked on in pieces of several images, or of part of one.
  std::int64_t images_per_piece = 0, pieces_per_image = 0, pieces = 0;

  std::int64_t offset(std::int64_t group) const {  // of the group's first float in an image
    return block >= width ? group * width / block * (pixels * block) + group * width % block : group * pixels * block;
  }
};

// What batch norm with given statistics does: (x - mean) scale + shift, of each channel.
struct Affine {
  std::vector<float> mean, scale, shift;
};
Affine affine_of(const Tensor& gamma, const Tensor& beta, const Tensor& mean, const Tensor& variance, double eps);

// None where x (contiguous or opaque, f32) lies in no layout that these loops know.
std::optional<Walk> walk_of(const Tensor& x);

// The contracts of batch_norm_fused, batch_norm_eval_fused and batch_norm_fused_backward (core/backend.h); x, the residual,
// the output and dy lie as `walk` says. The output is kept where there was a residual: without one it is made again from x,
// to the same bits, for less than it costs to read.
BatchNormResult train(const Walk& walk, const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                      NormFusion& fusion);
Tensor eval(const Walk& walk, const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
            const Tensor& variance, double eps, const Tensor& residual, bool relu);
// A dy that nobody else holds becomes one of the results.
BatchNormGradients backward(const Walk& walk, Tensor dy, const BatchNormResult& forward, const Tensor& x, const Tensor& gamma,
                            const Tensor& beta, double eps, bool relu, bool want_residual);

}  // namespace heft::norm
