#include "core/cpu/norm_kernels.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpu/layout.h"
#include "core/cpu/simd.h"
#include "core/parallel.h"

namespace heft::norm {
namespace {

using simd::Vec;

// Floats of a piece, in vectors: its sums stay accurate in f32, and it is still in the L1 cache when it is read again.
constexpr std::int64_t kPieceVectors = 256;
// Vectors that a piece leaves behind.
constexpr std::int64_t kPartials = 3;
// Pieces that are worth a thread.
constexpr std::int64_t kGrain = 4;
// The groups that are taken through both passes together: what the first one read should still be in the L2 cache.
constexpr std::int64_t kSlabFloats = 1 << 18;

// ---------------------------------------------------------------------------------------------------- walking

// A vector in memory, or the part of one that an image ends with.
struct Whole {
  template <int W>
  HEFT_SIMD Vec<W> load(const float* p, const Vec<W>&) const {
    return simd::load<W>(p);
  }
  template <int W>
  HEFT_SIMD void store(float* p, const Vec<W>& v) const {
    simd::store<W>(p, v);
  }
};
struct Part {
  std::int64_t floats;
  // Lanes that are not in memory have those of `rest`.
  template <int W>
  HEFT_SIMD Vec<W> load(const float* p, const Vec<W>& rest) const {
    Vec<W> v = rest;
    std::memcpy(&v, p, static_cast<std::size_t>(floats) * sizeof(float));
    return v;
  }
  template <int W>
  HEFT_SIMD void store(float* p, const Vec<W>& v) const {
    simd::store_first<W>(p, v, floats);
  }
};

struct Piece {
  std::int64_t group, image, images, vector, vectors, tail;

  Piece(const Walk& w, std::int64_t index) : group(index / w.pieces) {
    const std::int64_t i = index % w.pieces, part = i % w.pieces_per_image;
    image = i / w.pieces_per_image * w.images_per_piece;
    images = std::min(w.images_per_piece, w.images - image);
    vector = part * kPieceVectors;
    vectors = std::min(kPieceVectors, w.vectors - vector);
    tail = part == w.pieces_per_image - 1 ? w.tail : 0;
  }
  // Values of each channel.
  double count(const Walk& w) const {
    return static_cast<double>(images * (vectors * w.width + tail)) / static_cast<double>(std::min(w.width, w.period));
  }
};

// f(Whole or Part, offset, k) for all vectors of a piece; k, from 0 to 3, is the accumulator to use: additions take longer
// than what comes between two of them.
template <class F>
HEFT_SIMD void for_each_vector(const Walk& w, const Piece& piece, F f) {
  for (std::int64_t n = piece.image; n < piece.image + piece.images; ++n) {
    std::int64_t at = n * w.image_stride + w.offset(piece.group) + piece.vector * w.step, i = 0;
    const std::int64_t step = w.step;
    for (; i + 4 <= piece.vectors; i += 4, at += 4 * step) {
      f(Whole{}, at, 0);
      f(Whole{}, at + step, 1);
      f(Whole{}, at + 2 * step, 2);
      f(Whole{}, at + 3 * step, 3);
    }
    for (; i < piece.vectors; ++i, at += step) f(Whole{}, at, 0);
    if (piece.tail > 0) f(Part{piece.tail}, at, 0);
  }
}
#define HEFT_EACH_VECTOR [&](auto lanes, std::int64_t at, [[maybe_unused]] int k) __attribute__((always_inline))

// The sum over four accumulators, and over the lanes of each channel.
template <int W>
HEFT_SIMD Vec<W> total(const Walk& w, const Vec<W> (&sums)[4]) {
  const Vec<W> lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  if (w.period >= W) return lanes;
  Vec<W> folded = {};
  for (int i = 0; i < W; ++i) folded[i % w.period] += lanes[i];
  for (int i = static_cast<int>(w.period); i < W; ++i) folded[i] = folded[i % w.period];
  return folded;
}

// ---------------------------------------------------------------------------------------------------- kernels

// Which gradients get through: all, those where the output is above 0, or those where x makes it so.
enum class Gate : std::uint8_t { none, output, input };

// What the kernels read and write; vectors per group lie at group * W.
struct Job {
  const float *x = nullptr, *residual = nullptr, *dy = nullptr, *y_read = nullptr;
  float *y = nullptr, *dx = nullptr, *behind = nullptr;
  const float *mean = nullptr, *scale = nullptr, *shift = nullptr;
  const float *level = nullptr, *slope = nullptr;  // what goes off a gradient: its mean, and its part along x
  float* partial = nullptr;                        // kPartials vectors a piece
  bool relu = false;                               // forward
  Gate gate = Gate::none;
};

// Of each piece, the mean as f32 has it, and the sums of deviations from it and of their squares.
struct Statistics {
  template <int W>
  HEFT_SIMD static void run(const Walk* walk, const Job* job, std::int64_t begin, std::int64_t end) {
    const Walk w = *walk;
    const float* x = job->x;
    for (std::int64_t index = begin; index < end; ++index) {
      const Piece piece(w, index);
      Vec<W> sums[4] = {}, deviations[4] = {}, squares[4] = {};
      for_each_vector(
          w, piece, HEFT_EACH_VECTOR { sums[k] += lanes.template load<W>(x + at, Vec<W>{}); });
      const Vec<W> mean = total<W>(w, sums) / static_cast<float>(piece.count(w));
      for_each_vector(
          w, piece, HEFT_EACH_VECTOR {
            const Vec<W> d = lanes.template load<W>(x + at, mean) - mean;
            deviations[k] += d;
            squares[k] += d * d;
          });
      float* partial = job->partial + kPartials * W * index;
      simd::store<W>(partial, mean);
      simd::store<W>(partial + W, total<W>(w, deviations));
      simd::store<W>(partial + 2 * W, total<W>(w, squares));
    }
  }
};

// y = relu((x - mean) scale + shift + residual)
struct Apply {
  template <int W>
  HEFT_SIMD static void run(const Walk* walk, const Job* job, std::int64_t begin, std::int64_t end) {
    if (job->residual) job->relu ? pass<W, true, true>(*walk, *job, begin, end) : pass<W, true, false>(*walk, *job, begin, end);
    else job->relu ? pass<W, false, true>(*walk, *job, begin, end) : pass<W, false, false>(*walk, *job, begin, end);
  }
  template <int W, bool add, bool relu>
  HEFT_SIMD static void pass(const Walk w, const Job job, std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = end; index-- > begin;) {
      const Piece piece(w, index);
      const Vec<W> mean = simd::load<W>(job.mean + W * piece.group), scale = simd::load<W>(job.scale + W * piece.group),
                   shift = simd::load<W>(job.shift + W * piece.group), zero = {};
      for_each_vector(
          w, piece, HEFT_EACH_VECTOR {
            Vec<W> v = (lanes.template load<W>(job.x + at, zero) - mean) * scale + shift;
            if constexpr (add) v += lanes.template load<W>(job.residual + at, zero);
            if constexpr (relu) v = simd::relu<W>(v);
            lanes.template store<W>(job.y + at, v);
          });
    }
  }
};

// dy behind the relu, d being x - mean; 0 where there is nothing in memory. The output from x is Apply's expression.
template <int W, Gate gate, class Lanes>
HEFT_SIMD Vec<W> gradient(const Lanes& lanes, const Job& job, std::int64_t at, const Vec<W>& d, const Vec<W>& scale,
                          const Vec<W>& shift) {
  const Vec<W> zero = {}, dy = lanes.template load<W>(job.dy + at, zero);
  if constexpr (gate == Gate::output) return lanes.template load<W>(job.y_read + at, zero) > zero ? dy : zero;
  if constexpr (gate == Gate::input) return d * scale + shift > zero ? dy : zero;
  return dy;
}

// Of each piece, the sums of dy and of dy (x - mean), with dy behind the relu. What the output lets through is kept in
// `behind`.
struct Sums {
  template <int W>
  HEFT_SIMD static void run(const Walk* walk, const Job* job, std::int64_t begin, std::int64_t end) {
    switch (job->gate) {
      case Gate::none: return pass<W, Gate::none>(*walk, *job, begin, end);
      case Gate::output: return pass<W, Gate::output>(*walk, *job, begin, end);
      case Gate::input: return pass<W, Gate::input>(*walk, *job, begin, end);
    }
  }
  template <int W, Gate gate>
  HEFT_SIMD static void pass(const Walk w, const Job job, std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = begin; index < end; ++index) {
      const Piece piece(w, index);
      const Vec<W> mean = simd::load<W>(job.mean + W * piece.group), scale = simd::load<W>(job.scale + W * piece.group),
                   shift = simd::load<W>(job.shift + W * piece.group);
      Vec<W> sums[4] = {}, products[4] = {};
      for_each_vector(
          w, piece, HEFT_EACH_VECTOR {
            const Vec<W> d = lanes.template load<W>(job.x + at, mean) - mean,
                         dy = gradient<W, gate>(lanes, job, at, d, scale, shift);
            sums[k] += dy;
            products[k] += dy * d;
            if constexpr (gate == Gate::output) lanes.template store<W>(job.behind + at, dy);
          });
      simd::store<W>(job.partial + kPartials * W * index, total<W>(w, sums));
      simd::store<W>(job.partial + kPartials * W * index + W, total<W>(w, products));
    }
  }
};

// dx = (dy - level - (x - mean) slope) scale
struct Gradient {
  template <int W>
  HEFT_SIMD static void run(const Walk* walk, const Job* job, std::int64_t begin, std::int64_t end) {
    if (job->gate == Gate::input) pass<W, Gate::input>(*walk, *job, begin, end);
    else pass<W, Gate::none>(*walk, *job, begin, end);  // of dy, or of what Sums has left behind
  }
  template <int W, Gate gate>
  HEFT_SIMD static void pass(const Walk w, const Job job, std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = end; index-- > begin;) {
      const Piece piece(w, index);
      const Vec<W> mean = simd::load<W>(job.mean + W * piece.group), scale = simd::load<W>(job.scale + W * piece.group),
                   shift = simd::load<W>(job.shift + W * piece.group), level = simd::load<W>(job.level + W * piece.group),
                   slope = simd::load<W>(job.slope + W * piece.group);
      for_each_vector(
          w, piece, HEFT_EACH_VECTOR {
            const Vec<W> d = lanes.template load<W>(job.x + at, mean) - mean,
                         dy = gradient<W, gate>(lanes, job, at, d, scale, shift);
            lanes.template store<W>(job.dx + at, (dy - level - d * slope) * scale);
          });
    }
  }
};

// Each thread has some pieces of every group: what comes before and after this is divided among threads by images, too, and a
// core reads from its own caches several times as fast as from another's. Item i is piece i / groups of group i % groups.
template <class Kernel>
void run(const Walk& walk, const Job& job, std::int64_t first_group, std::int64_t last_group) {
  const std::int64_t groups = last_group - first_group;
  parallel_for(groups * walk.pieces, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = 0; k < groups; ++k) {
      const std::int64_t first = (first_group + k) * walk.pieces, rest = groups - 1 - k;
      simd::run<Kernel, const Walk*, const Job*, std::int64_t, std::int64_t>(&walk, &job, first + (begin + rest) / groups,
                                                                             first + (end + rest) / groups);
    }
  });
}

// ---------------------------------------------------------------------------------------------------- between the passes

// Vectors of each group, for the kernels; the lanes of channels that there are not stay 0.
class Lanes {
 public:
  explicit Lanes(const Walk& w) : w_(w), values_(static_cast<std::size_t>(w.groups * w.width)) {}
  const float* data() const { return values_.data(); }
  void set(std::int64_t channel, double value) {
    const std::int64_t per_group = std::min(w_.width, w_.period);
    float* lanes = values_.data() + channel / per_group * w_.width;
    for (std::int64_t i = channel % per_group; i < w_.width; i += per_group) lanes[i] = static_cast<float>(value);
  }

 private:
  const Walk& w_;
  std::vector<float> values_;
};

// What the pieces left behind for one channel: number k of piece i.
struct Partials {
  const float* first;
  std::int64_t width;
  double operator()(std::int64_t piece, int k) const { return static_cast<double>(first[(piece * kPartials + k) * width]); }
};

// f(channel, its Partials) for the channels of these groups.
template <class F>
void for_each_channel(const Walk& w, const Tensor& partial, std::int64_t first_group, std::int64_t last_group, F f) {
  const std::int64_t per_group = std::min(w.width, w.period);
  for (std::int64_t c = first_group * per_group; c < std::min(last_group * per_group, w.channels); ++c)
    f(c, Partials{partial.data<float>() + kPartials * w.width * w.pieces * (c / per_group) + c % per_group, w.width});
}

// f(first group, one past the last) for parts of the groups.
template <class F>
void for_each_slab(const Walk& w, F f) {
  const std::int64_t floats = w.images * (w.vectors * w.width + w.tail), most = std::max<std::int64_t>(kSlabFloats / floats, 1);
  for (std::int64_t group = 0; group < w.groups; group += most) f(group, std::min(group + most, w.groups));
}

Tensor partials(const Walk& w) { return Tensor::empty(Shape{w.groups * w.pieces * kPartials * w.width}); }

const float* floats(const Tensor& x) { return x.defined() ? static_cast<const float*>(x.raw()) : nullptr; }

void blend(float* running, std::int64_t channel, float batch, double momentum) {
  if (running) running[channel] = running[channel] * static_cast<float>(1 - momentum) + batch * static_cast<float>(momentum);
}

double inverse_deviation(float variance, double eps) { return 1 / std::sqrt(static_cast<double>(variance) + eps); }

}  // namespace

// ---------------------------------------------------------------------------------------------------- layouts

namespace {

// (N, C, H, W) in memory: `images` times (channels / block, `pixels`, block). Where it is images that lie side by side, all of
// a block are one image of so many times the pixels.
struct Form {
  std::int64_t images, pixels, block;
};

std::optional<Form> form_of(const Tensor& x) {
  const Shape& s = x.shape();
  const std::int64_t plane = s[2] * s[3];
  if (!x.is_opaque()) return Form{s[0], plane, plane == 1 ? s[1] : 1};
  const onednn::Desc& desc = onednn::desc_of(x.layout());
  if (!onednn::is_blocked(desc) || onednn::dims_of(desc) != onednn::dims_of(s)) return std::nullopt;
  const onednn::Dims blocks = onednn::inner_blocks_of(desc), axes = onednn::inner_axes_of(desc),
                     strides = onednn::strides_of(desc);
  const std::size_t axis = axes.empty() ? 1 : static_cast<std::size_t>(axes[0]);
  if (blocks.size() > 1 || axis > 1) return std::nullopt;
  const std::int64_t block = blocks.empty() ? s[1] : blocks[0];
  onednn::Dims outer = onednn::padded_dims_of(desc);
  for (const int i : {0, 2, 3})
    if (outer[static_cast<std::size_t>(i)] != s[i]) return std::nullopt;
  outer[axis] /= block;
  std::int64_t stride = block;
  for (std::size_t i = 4; i-- > 0; stride *= outer[i])
    if (outer[i] != 1 && strides[i] != stride) return std::nullopt;
  return axis == 0 ? Form{outer[0], plane * block, 1} : Form{s[0], plane, block};
}

}  // namespace

std::optional<Walk> walk_of(const Tensor& x) {
  std::optional<Form> form = form_of(x);
  if (!form) return std::nullopt;
  Walk w;
  w.images = form->images, w.pixels = form->pixels, w.channels = x.shape()[1], w.block = form->block;
  w.width = simd::width();
  if (w.block % w.width != 0 && w.width % w.block != 0) {
    if (x.is_opaque()) return std::nullopt;
    w.block = 1;
  }
  const std::int64_t padded = (w.channels + w.block - 1) / w.block * w.block;
  w.period = w.block;
  w.groups = padded / std::min(w.block, w.width);
  w.image_stride = padded * w.pixels;
  w.step = std::max(w.block, w.width);
  const std::int64_t floats = w.pixels * std::min(w.block, w.width);  // of a group in an image
  w.vectors = floats / w.width;
  w.tail = floats % w.width;
  w.pieces_per_image = std::max<std::int64_t>((w.vectors + kPieceVectors - 1) / kPieceVectors, 1);
  w.images_per_piece =
      w.pieces_per_image > 1 ? 1 : std::max<std::int64_t>(kPieceVectors / std::max<std::int64_t>(w.vectors, 1), 1);
  w.pieces = (w.images + w.images_per_piece - 1) / w.images_per_piece * w.pieces_per_image;
  return w;
}

// ---------------------------------------------------------------------------------------------------- the whole

BatchNormResult train(const Walk& walk, const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                      NormFusion& fusion) {
  BatchNormResult result{Tensor::empty_like(x), Tensor::empty(gamma.shape()), Tensor::empty(gamma.shape())};
  const float *g = gamma.data<float>(), *b = beta.data<float>();
  float *mean = result.mean.mutable_data<float>(), *variance = result.variance.mutable_data<float>();
  float* running_mean = fusion.running_mean.defined() ? fusion.running_mean.mutable_data<float>() : nullptr;
  float* running_variance = fusion.running_variance.defined() ? fusion.running_variance.mutable_data<float>() : nullptr;
  const double count = static_cast<double>(walk.images * walk.pixels);
  Tensor values_of = Tensor::empty(Shape{walk.pieces}, DType::f64);  // a channel's values in each piece
  double* counts = values_of.mutable_data<double>();
  for (std::int64_t i = 0; i < walk.pieces; ++i) counts[i] = Piece(walk, i).count(walk);
  Tensor partial = partials(walk);
  Lanes means(walk), scale(walk), shift(walk);
  const Job job{.x = floats(x),
                .residual = floats(fusion.residual),
                .y = static_cast<float*>(result.output.mutable_raw()),
                .mean = means.data(),
                .scale = scale.data(),
                .shift = shift.data(),
                .partial = partial.mutable_data<float>(),
                .relu = fusion.relu};

  for_each_slab(walk, [&](std::int64_t first, std::int64_t last) {
    run<Statistics>(walk, job, first, last);
    for_each_channel(walk, partial, first, last, [&](std::int64_t c, const Partials& of) {
      double sum = 0, squares = 0;
      for (std::int64_t i = 0; i < walk.pieces; ++i) sum += counts[i] * of(i, 0) + of(i, 1);
      const double centre = sum / count;
      for (std::int64_t i = 0; i < walk.pieces; ++i) {
        const double d = of(i, 0) - centre;
        squares += of(i, 2) + 2 * d * of(i, 1) + counts[i] * d * d;
      }
      mean[c] = static_cast<float>(centre);
      variance[c] = static_cast<float>(squares / count);
      blend(running_mean, c, mean[c], fusion.momentum);
      blend(running_variance, c, variance[c] * static_cast<float>(count / (count - 1)), fusion.momentum);
      means.set(c, static_cast<double>(mean[c]));
      scale.set(c, static_cast<double>(g[c]) * inverse_deviation(variance[c], eps));
      shift.set(c, static_cast<double>(b[c]));
    });
    run<Apply>(walk, job, first, last);
  });
  if (fusion.relu && fusion.residual.defined()) result.kept = result.output;
  return result;
}

Affine affine_of(const Tensor& gamma, const Tensor& beta, const Tensor& mean, const Tensor& variance, double eps) {
  Affine affine{mean.to_vector<float>(), gamma.to_vector<float>(), beta.to_vector<float>()};
  const float* v = variance.data<float>();
  for (float& scale : affine.scale) scale = static_cast<float>(static_cast<double>(scale) * inverse_deviation(*v++, eps));
  return affine;
}

Tensor eval(const Walk& walk, const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
            const Tensor& variance, double eps, const Tensor& residual, bool relu) {
  Tensor y = Tensor::empty_like(x);
  const Affine affine = affine_of(gamma, beta, mean, variance, eps);
  Lanes means(walk), scale(walk), shift(walk);
  for (std::int64_t c = 0; c < walk.channels; ++c) {
    const auto channel = static_cast<std::size_t>(c);
    means.set(c, affine.mean[channel]);
    scale.set(c, affine.scale[channel]);
    shift.set(c, affine.shift[channel]);
  }
  const Job job{.x = floats(x),
                .residual = floats(residual),
                .y = static_cast<float*>(y.mutable_raw()),
                .mean = means.data(),
                .scale = scale.data(),
                .shift = shift.data(),
                .relu = relu};
  run<Apply>(walk, job, 0, walk.groups);
  return y;
}

BatchNormGradients backward(const Walk& walk, Tensor dy, const BatchNormResult& forward, const Tensor& x, const Tensor& gamma,
                            const Tensor& beta, double eps, bool relu, bool want_residual) {
  Tensor y = forward.kept;
  if (relu && want_residual && !y.defined()) y = eval(walk, x, gamma, beta, forward.mean, forward.variance, eps, {}, true);
  const Gate gate = !relu ? Gate::none : y.defined() ? Gate::output : Gate::input;
  // Each pass may write where it has just read dy: the first what is behind the relu, the second dx.
  const Tensor place = dy.storage_users() == 1 ? dy : Tensor{};
  const auto place_or_new = [&] { return place.defined() ? place : Tensor::empty_like(x); };
  BatchNormGradients result{want_residual ? Tensor::empty_like(x) : place_or_new(), Tensor::empty(gamma.shape()),
                            Tensor::empty(gamma.shape())};
  if (want_residual) result.residual = relu ? place_or_new() : dy;
  Tensor& behind = want_residual ? result.residual : result.input;
  const float *g = gamma.data<float>(), *m = forward.mean.data<float>(), *v = forward.variance.data<float>();
  const float* b = gate == Gate::input ? beta.data<float>() : nullptr;
  float *dgamma = result.gamma.mutable_data<float>(), *dbeta = result.beta.mutable_data<float>();
  const double count = static_cast<double>(walk.images * walk.pixels);
  Tensor partial = partials(walk);
  Lanes means(walk), scale(walk), shift(walk), level(walk), slope(walk);
  for (std::int64_t c = 0; c < walk.channels; ++c) {
    means.set(c, static_cast<double>(m[c]));
    scale.set(c, static_cast<double>(g[c]) * inverse_deviation(v[c], eps));
    if (b) shift.set(c, static_cast<double>(b[c]));
  }
  Job sums{.x = floats(x),
           .dy = floats(dy),
           .y_read = floats(y),
           .dx = static_cast<float*>(result.input.mutable_raw()),
           .behind = gate == Gate::output ? static_cast<float*>(behind.mutable_raw()) : nullptr,
           .mean = means.data(),
           .scale = scale.data(),
           .shift = shift.data(),
           .level = level.data(),
           .slope = slope.data(),
           .partial = partial.mutable_data<float>(),
           .gate = gate};
  Job rest = sums;
  if (gate == Gate::output) rest.dy = sums.behind;

  for_each_slab(walk, [&](std::int64_t first, std::int64_t last) {
    run<Sums>(walk, sums, first, last);
    for_each_channel(walk, partial, first, last, [&](std::int64_t c, const Partials& of) {
      double sum = 0, product = 0;
      for (std::int64_t i = 0; i < walk.pieces; ++i) sum += of(i, 0), product += of(i, 1);
      const double inverse = inverse_deviation(v[c], eps);
      dgamma[c] = static_cast<float>(product * inverse);
      dbeta[c] = static_cast<float>(sum);
      level.set(c, sum / count);
      slope.set(c, product / count * inverse * inverse);
    });
    run<Gradient>(walk, rest, first, last);
  });
  return result;
}

}  // namespace heft::norm
