// Batch normalisation by loops of our own: every layout they know, against the reference's composition of primitives.
#include "tests/catch_compat.h"

#ifdef HEFT_ONEDNN

#include <limits>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/layout.h"
#include "core/cpu/norm_kernels.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "tests/core/numbers.h"

using namespace heft;
using namespace heft::test;
using Tag = dnnl::memory::format_tag;

namespace {

Backend& ours() { return onednn_backend(); }
Backend& plain() { return reference_backend(); }

Tensor laid_out(const Tensor& x, Tag tag) {
  return ours().to_layout(x, onednn::layout_of(onednn::Desc(onednn::dims_of(x.shape()), dnnl::memory::data_type::f32, tag)));
}

// The sum of what the buffer holds beyond the shape: padding is 0.
double beyond(const Tensor& x) {
  const auto* p = static_cast<const float*>(x.raw());
  double sum = 0;
  for (std::int64_t i = 0; i < x.buffer_elements(); ++i) sum += std::abs(static_cast<double>(p[i]));
  for (const double v : x.to_vector<double>()) sum -= std::abs(v);
  return sum;
}

struct Case {
  Tensor x, residual, dy, gamma, beta, mean, variance;
  bool relu = true;

  explicit Case(const Shape& s, bool with_residual = true)
      : x(normal(s, 1, DType::f32)),
        residual(with_residual ? normal(s, 2, DType::f32) : Tensor{}),
        dy(normal(s, 3, DType::f32)),
        gamma(normal({s[1]}, 4, DType::f32)),
        beta(normal({s[1]}, 5, DType::f32)),
        mean(normal({s[1]}, 6, DType::f32)),
        variance(mean * mean + 0.5) {}

  // y, the batch's mean and variance, both running ones, the result with those, and the four gradients; those are taken at
  // `masks`, so that y is on the same side of 0 for all backends.
  std::vector<Tensor> run(Backend& backend, const Tensor& masks = {}) const {
    NormFusion fusion{relu, residual, mean.clone(), variance.clone(), 0.2};
    const BatchNormResult r = backend.batch_norm_fused(x, gamma, beta, 1e-5, fusion);
    BatchNormResult forward{{}, r.mean, r.variance, r.kept};
    if (masks.defined() && relu) forward.kept = ours().to_layout(masks, x.layout());
    const BatchNormGradients d = backend.batch_norm_fused_backward(dy, forward, x, gamma, beta, 1e-5, relu, residual.defined());
    const Tensor eval = backend.batch_norm_eval_fused(x, gamma, beta, mean, variance, 1e-5, residual, relu);
    std::vector<Tensor> all = {r.output, r.mean,  r.variance, fusion.running_mean, fusion.running_variance, eval,
                               d.input,  d.gamma, d.beta};
    if (residual.defined()) all.push_back(d.residual);
    return all;
  }
};

// As a convolution would leave them; the residual and dy stay row-major where `mixed`.
Case in_layout(Case c, Tag tag, bool mixed) {
  c.x = laid_out(c.x, tag);
  if (!mixed) {
    c.dy = laid_out(c.dy, tag);
    if (c.residual.defined()) c.residual = laid_out(c.residual, tag);
  }
  return c;
}

constexpr Tag kTags[] = {Tag::abcd, Tag::aBcd16b, Tag::aBcd8b, Tag::aBcd4b, Tag::acdb, Tag::Abcd16a};

}  // namespace

TEST_CASE("norm: every layout, with and without ReLU and residual, is the reference's composition", "[cpu][batch_norm][simd]") {
  int known = 0;
  for (const Shape& shape : {Shape{4, 16, 8, 8}, Shape{3, 6, 5, 7}, Shape{8, 20, 3, 3}, Shape{1, 32, 5, 5}, Shape{1, 1, 1, 2},
                             Shape{16, 3, 1, 1}, Shape{40, 48, 1, 1}, Shape{2, 33, 1, 3}, Shape{130, 16, 3, 1},
                             Shape{32, 6, 5, 7}, Shape{2, 3, 40, 53}, Shape{3, 16, 17, 33}})
    for (const bool relu : {false, true})
      for (const bool with_residual : {false, true}) {
        Case dense(shape, with_residual);
        dense.relu = relu;
        const std::vector<Tensor> want = dense.run(plain());
        for (const Tag tag : kTags)
          for (const bool mixed : {false, true}) {
            const Case c = in_layout(dense, tag, mixed);
            INFO(shape.str() << " " << c.x.layout().str() << (relu ? ", relu" : "") << (with_residual ? ", residual" : ""));
            known += norm::walk_of(c.x).has_value();
            const std::vector<Tensor> got = c.run(ours(), want[0]);
            REQUIRE(got.size() == want.size());
            for (std::size_t i = 0; i < got.size(); ++i) {
              INFO("result " << i);
              check_close(got[i], want[i], shape[0] * shape[2] * shape[3] > 1000 ? 1e-4 : 2e-5);
              if (got[i].layout() == c.x.layout()) CHECK(beyond(got[i]) == Approx(0).margin(1e-2));
            }
            CHECK(got[0].layout() == c.x.layout());
            CHECK(got[6].layout() == c.x.layout());
          }
      }
  CHECK(known >= 11 * 4 * 2 * 4);  // all but some that are channels-last
}

TEST_CASE("norm: fused is what it consists of, to the last bit", "[cpu][batch_norm][simd]") {
  for (const Tag tag : kTags)
    for (const bool with_residual : {true, false}) {
      const Case c = in_layout(Case({5, 24, 6, 7}, with_residual), tag, false);
      INFO(c.x.layout().str() << (with_residual ? ", residual" : ""));
      const auto composed = [&](const Tensor& y) { return unary<fn::Relu>(with_residual ? y + c.residual : y); };
      const std::vector<Tensor> got = c.run(ours());
      const BatchNormResult r = ours().batch_norm_train(c.x, c.gamma, c.beta, 1e-5);
      check_close(got[0], composed(r.output), 0);
      check_close(got[3], c.mean * 0.8 + r.mean * 0.2, 0);
      check_close(got[4], c.variance * 0.8 + r.variance * (210.0 / 209) * 0.2, 0);
      check_close(got[5], composed(ours().batch_norm_eval(c.x, c.gamma, c.beta, c.mean, c.variance, 1e-5)), 0);
      const Tensor behind = unary_backward<fn::Relu>(got[0], got[0], c.dy);
      const BatchNormGradients d = ours().batch_norm_backward(behind, c.x, c.gamma, r.mean, r.variance, 1e-5);
      check_close(got[6], d.input, 0);
      check_close(got[7], d.gamma, 0);
      check_close(got[8], d.beta, 0);
      if (with_residual) check_close(got[9], behind, 0);
    }
}

// The relu's gradient is exact about which outputs are above 0 even where they hardly are.
TEST_CASE("norm: without a residual the output is not kept, and x tells what the relu let through", "[cpu][batch_norm][simd]") {
  for (const Tag tag : kTags) {
    Case dense({6, 16, 8, 9}, false);
    dense.x = unary<fn::Abs>(dense.x);
    // The smallest x of a channel is at, just above or just below where its output becomes 0.
    const Tensor mean = heft::mean(dense.x, {0, 2, 3}), deviation = dense.x - mean.reshape({1, 16, 1, 1});
    const Tensor r = unary(heft::mean(deviation * deviation, {0, 2, 3}) + 1e-5, fn::PowScalar{-0.5});
    dense.beta = (mean - dense.x.slice(0, 0, 1).slice(2, 0, 1).slice(3, 0, 1).reshape({16})) * r * dense.gamma;
    const Case c = in_layout(dense, tag, false);
    INFO(c.x.layout().str());
    NormFusion with_relu{.relu = true};
    const BatchNormResult forward = ours().batch_norm_fused(c.x, c.gamma, c.beta, 1e-5, with_relu);
    if (!norm::walk_of(c.x)) continue;
    CHECK(!forward.kept.defined());
    const BatchNormResult told{{}, forward.mean, forward.variance, forward.output};
    const BatchNormGradients found = ours().batch_norm_fused_backward(c.dy, forward, c.x, c.gamma, c.beta, 1e-5, true, false),
                             read = ours().batch_norm_fused_backward(c.dy, told, c.x, c.gamma, c.beta, 1e-5, true, false);
    check_close(found.input, read.input, 0);
    check_close(found.gamma, read.gamma, 0);
    check_close(found.beta, read.beta, 0);
  }
}

TEST_CASE("norm: a gradient is overwritten where nobody else holds it, and only there", "[cpu][batch_norm][simd]") {
  for (const Tag tag : {Tag::aBcd16b, Tag::abcd})
    for (const bool relu : {false, true})
      for (const bool with_residual : {false, true}) {
        Case c = in_layout(Case({4, 16, 6, 7}, with_residual), tag, false);
        INFO(c.x.layout().str() << (relu ? ", relu" : "") << (with_residual ? ", residual" : ""));
        NormFusion fusion{.relu = relu, .residual = c.residual};
        const BatchNormResult forward = ours().batch_norm_fused(c.x, c.gamma, c.beta, 1e-5, fusion);
        const auto backward = [&](Tensor dy) {
          return ours().batch_norm_fused_backward(std::move(dy), forward, c.x, c.gamma, c.beta, 1e-5, relu, with_residual);
        };
        const Tensor before = c.dy.clone();
        const BatchNormGradients held = backward(c.dy);
        check_close(c.dy, before, 0);
        Tensor given = c.dy.clone();
        const void* place = given.raw();
        const BatchNormGradients alone = backward(std::move(given));
        CHECK((with_residual ? alone.residual : alone.input).raw() == place);
        check_close(alone.input, held.input, 0);
        check_close(alone.gamma, held.gamma, 0);
        check_close(alone.beta, held.beta, 0);
        if (with_residual) check_close(alone.residual, held.residual, 0);
      }
}

TEST_CASE("norm: a gradient of what another backend has normalised", "[cpu][batch_norm][simd]") {
  for (const Tag tag : {Tag::aBcd16b, Tag::abcd})
    for (const bool with_residual : {false, true}) {
      const Case c = in_layout(Case({4, 24, 6, 7}, with_residual), tag, false);
      INFO(c.x.layout().str() << (with_residual ? ", residual" : ""));
      const auto run = [&](Backend& forward, Backend& backward) {
        const NormFusion fusion{.relu = true, .residual = c.residual};
        const auto result = [&] {
          const BackendScope scope(forward);
          return batch_norm_fused(c.x, c.gamma, c.beta, 1e-5, fusion);
        }();
        const BackendScope scope(backward);
        const BatchNormGradients d = batch_norm_fused_backward(c.dy, result, c.x, c.gamma, c.beta, 1e-5, true, with_residual);
        return std::vector<Tensor>{d.input, d.gamma, d.beta};
      };
      const std::vector<Tensor> want = run(plain(), plain()), here = run(plain(), ours()), there = run(ours(), plain());
      for (std::size_t i = 0; i < want.size(); ++i) {
        check_close(here[i], want[i], 1e-4);
        check_close(there[i], want[i], 1e-4);
      }
    }
}

TEST_CASE("norm: the gradient behind the relu, where no residual came in either", "[cpu][batch_norm][simd]") {
  for (const Tag tag : {Tag::aBcd16b, Tag::abcd}) {
    const Case c = in_layout(Case({4, 16, 6, 7}, false), tag, false);
    NormFusion fusion{.relu = true};
    const BatchNormResult forward = ours().batch_norm_fused(c.x, c.gamma, c.beta, 1e-5, fusion);
    const BatchNormGradients without = ours().batch_norm_fused_backward(c.dy, forward, c.x, c.gamma, c.beta, 1e-5, true, false),
                             with = ours().batch_norm_fused_backward(c.dy, forward, c.x, c.gamma, c.beta, 1e-5, true, true);
    check_close(with.input, without.input, 0);
    check_close(with.gamma, without.gamma, 0);
    check_close(with.residual, unary_backward<fn::Relu>(forward.output, forward.output, c.dy), 0);
  }
}

TEST_CASE("norm: the number of threads changes no bit", "[cpu][batch_norm][simd]") {
  const int threads = num_threads();
  for (const Shape& shape : {Shape{7, 16, 24, 24}, Shape{33, 40, 9, 9}, Shape{128, 64, 8, 8}})
    for (const Tag tag : kTags) {
      const Case c = in_layout(Case(shape), tag, false);
      INFO(shape.str() << " " << c.x.layout().str());
      if (!norm::walk_of(c.x)) continue;
      set_num_threads(1);
      const std::vector<Tensor> one = c.run(ours());
      for (const int n : {2, 3}) {
        set_num_threads(n);
        const std::vector<Tensor> several = c.run(ours());
        for (std::size_t i = 0; i < one.size(); ++i) check_close(several[i], one[i], 0);
      }
    }
  set_num_threads(threads);
}

TEST_CASE("norm: a mean of 10,000 deviations and more, and images that differ from one another", "[cpu][batch_norm][simd]") {
  for (const Tag tag : kTags) {
    Case dense({12, 16, 30, 30});
    dense.x = dense.x * 0.05 + 1e4;
    dense.x.slice(1, 3, 4).fill_(7);                   // no variance
    dense.x.slice(1, 4, 5).slice(0, 6, 12).fill_(-3);  // half of the images far from the others
    dense.x.slice(1, 5, 6).slice(2, 0, 1).fill_(0);    // a border
    dense.residual = Tensor{}, dense.relu = false;
    if (!norm::walk_of(laid_out(dense.x, tag))) continue;
    const std::vector<Tensor> want = dense.run(plain()), got = in_layout(dense, tag, false).run(ours(), want[0]);
    for (const std::size_t i : {1U, 2U, 3U, 4U}) check_close((got[i] + 1e-9) / (want[i] + 1e-9), Tensor::ones({16}), 2e-6);
    // Where x has few digits of its deviation left, so have its gradients; that of beta has none of x.
    check_close(got[0], want[0], 1e-3);
    check_close(got[8], want[8], 1e-3);
    check_close(got[6].contiguous().slice(1, 3, 4) / want[6].slice(1, 3, 4), Tensor::ones({12, 1, 30, 30}), 1e-3);
    check_close(got[0].contiguous().slice(1, 3, 4), (dense.beta.slice(0, 3, 4).reshape({1, 1, 1, 1})).expand({12, 1, 30, 30}),
                0);
  }
}

TEST_CASE("norm: a NaN or an infinity spoils its channel and no other", "[cpu][batch_norm][simd]") {
  for (const Tag tag : kTags)
    for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      const Shape shape{3, 18, 5, 5};
      Case clean(shape), dense(shape);
      dense.x.slice(0, 2, 3).slice(1, 17, 18).slice(2, 4, 5).slice(3, 4, 5).fill_(bad);  // the last
      const std::vector<Tensor> want = in_layout(clean, tag, false).run(ours()), got = in_layout(dense, tag, false).run(ours());
      for (const std::size_t i : {0U, 6U, 9U})
        check_close(got[i].contiguous().slice(1, 0, 17), want[i].contiguous().slice(1, 0, 17), 0);
      const auto all_nan = [](const Tensor& x) {
        for (const double v : x.to_vector<double>())
          if (!std::isnan(v)) return false;
        return true;
      };
      CHECK(all_nan(got[0].contiguous().slice(1, 17, 18)));
      CHECK(all_nan(got[2].slice(0, 17, 18)));
      CHECK(all_nan(got[4].slice(0, 17, 18)));
      CHECK(all_nan(got[6].contiguous().slice(1, 17, 18)));
    }
}

#endif
