#include "autograd/norm.h"

#include "autograd/elementwise.h"
#include "autograd/images.h"
#include "autograd/shape_ops.h"
#include "autograd/trace.h"
#include "core/check.h"
#include "core/ops.h"

namespace heft {
namespace {

void check_norm(const Variable& x, const Tensor& mean, const Tensor& variance, double momentum, double eps) {
  const char* op = "batch_norm";
  check<ShapeError>(x.rank() == 4, op, "expected input of shape (N, C, H, W) or (N, C); got {}", x.shape());
  check(mean.defined() && variance.defined(), op, "expected running statistics; got undefined tensors");
  check<ShapeError>(mean.shape() == Shape{x.size(1)} && variance.shape() == Shape{x.size(1)}, op,
                    "expected running statistics of shape ({},) for input {}; got {} and {}", x.size(1), x.shape(),
                    mean.shape(), variance.shape());
  check(momentum >= 0 && momentum <= 1, op, "expected 0 <= momentum <= 1; got {}", momentum);
  check(eps > 0, op, "expected eps > 0; got {}", eps);
}

// relu(batch_norm(x) + residual), the last two where they are asked for.
Variable batch_norm_train(const char* op, const Variable& x, const Variable& gamma, const Variable& beta, NormFusion fusion,
                          double eps, const Variable& residual = {}) {
  if (residual.defined()) fusion.residual = residual.value();
  const bool relu = fusion.relu;
  const BatchNormResult r = batch_norm_fused(x.value(), gamma.value(), beta.value(), eps, fusion);
  const Saved shift(relu && !r.kept.defined() ? beta.value() : Tensor{});
  const auto gradients = [x = Saved(x.value()), gamma = Saved(gamma.value()), beta = shift, kept = Saved(r.kept), mean = r.mean,
                          variance = r.variance, eps, relu](Tensor dy, bool want_residual) {
    return batch_norm_fused_backward(std::move(dy), {{}, mean, variance, kept}, x, gamma, beta, eps, relu, want_residual);
  };
  // The output, where it is not kept: a pass over memory, for the largest part of what a network would keep besides x.
  const auto again = [x = Saved(x.value()), gamma = Saved(gamma.value()), beta = shift, mean = r.mean, variance = r.variance,
                      eps] { return batch_norm_eval_fused(x, gamma, beta, mean, variance, eps, {}, true); };
  std::vector<Variable> inputs = {x, gamma, beta};
  if (residual.defined()) inputs.push_back(residual);
  const Variable y = record(
      op, r.output, inputs,
      [gradients](Tensor dy, const std::vector<bool>& needed) {
        const bool want_residual = needed.size() > 3 && needed[3];
        const BatchNormGradients g = gradients(std::move(dy), want_residual);
        std::vector<Tensor> all = {g.input, g.gamma, g.beta};
        if (needed.size() > 3) all.push_back(g.residual);
        return all;
      },
      // In x, through the batch's own mean and variance, the Jacobian is symmetric: the tangent is the gradient's formula. In
      // gamma and beta the operation is linear: itself at their tangents.
      [x = Saved(x.value()), gamma = Saved(gamma.value()), kept = Saved(r.kept), mean = r.mean, variance = r.variance, eps,
       relu, again](const std::vector<Tensor>& d) {
        Tensor sum;
        const auto add = [&sum](const Tensor& term) { sum = sum.defined() ? sum + term : term; };
        if (d[0].defined()) add(batch_norm_backward(d[0], x, gamma, mean, variance, eps).input);
        const Tensor zero = Tensor::zeros_like(mean);
        if (d[1].defined() || d[2].defined())
          add(batch_norm_eval(x, d[1].defined() ? d[1] : zero, d[2].defined() ? d[2] : zero, mean, variance, eps));
        if (d.size() > 3 && d[3].defined()) add(d[3]);
        if (!relu) return sum;
        return across_relu(kept.get().defined() ? kept.get() : again(), sum);
      });
  if (relu && !r.kept.defined()) offer_again(y, again);
  return y;
}

// With constant statistics the operation is affine in x, so its derivative is itself without the shifts.
Variable batch_norm_eval(const Variable& x, const Variable& gamma, const Variable& beta, const Tensor& mean,
                         const Tensor& variance, double eps) {
  const Tensor zero = Tensor::zeros_like(mean), one = Tensor::ones(mean.shape(), mean.dtype(), mean.device());
  const auto scale = [=, gamma = Saved(gamma.value()), variance = Saved(variance)](const Tensor& d) {
    return batch_norm_eval(d, gamma, zero, zero, variance, eps);
  };
  const auto with = [=, x = Saved(x.value()), mean = Saved(mean), variance = Saved(variance)](const Tensor& d) {
    return batch_norm_eval(x, d, zero, mean, variance, eps);
  };
  const auto spread = [shape = x.shape()](const Tensor& d) { return d.reshape({1, -1, 1, 1}).expand(shape); };
  return record("batch_norm", batch_norm_eval(x.value(), gamma.value(), beta.value(), mean, variance, eps),
                {{x, scale, scale},
                 {gamma,
                  [with, one](const Tensor& dy) {
                    return sum(dy * with(one), {0, 2, 3});
                  },
                  with},
                 {beta,
                  [](const Tensor& dy) {
                    return sum(dy, {0, 2, 3});
                  },
                  spread}},
                {{"mean", mean}, {"variance", variance}, {"eps", eps}});
}

}  // namespace

Variable batch_norm(const Variable& x, const Variable& gamma, const Variable& beta, Tensor& running_mean,
                    Tensor& running_variance, bool training, double momentum, double eps) {
  if (x.rank() == 2) {
    const std::int64_t n = x.size(0), c = x.size(1);
    return reshape(batch_norm(reshape(x, {n, c, 1, 1}), gamma, beta, running_mean, running_variance, training, momentum, eps),
                   {n, c});
  }
  check_norm(x, running_mean, running_variance, momentum, eps);
  if (!training) return batch_norm_eval(x, gamma, beta, running_mean, running_variance, eps);
  return batch_norm_train("batch_norm", x, gamma, beta,
                          {.running_mean = running_mean, .running_variance = running_variance, .momentum = momentum}, eps);
}

namespace {

// Whether an operation on these keeps what a gradient needs.
bool recorded(std::initializer_list<const Variable*> inputs) {
  return grad_enabled() && std::any_of(inputs.begin(), inputs.end(),
                                       [](const Variable* input) { return input->defined() && input->requires_grad(); });
}
Tensor value_of(const Variable& x) { return x.defined() ? x.value() : Tensor{}; }

}  // namespace

Variable batch_norm_relu(const Variable& x, const Variable& gamma, const Variable& beta, Tensor& running_mean,
                         Tensor& running_variance, bool training, const Variable& residual, double momentum, double eps) {
  check<ShapeError>(!residual.defined() || residual.shape() == x.shape(), "batch_norm",
                    "expected a residual of shape {}; got {}", x.shape(), residual.defined() ? residual.shape() : Shape{});
  // Whoever watches sees what it consists of, and knows those operations already.
  if ((!training && recorded({&x, &gamma, &beta, &residual})) || x.rank() == 2 || observed()) {
    const Variable y = batch_norm(x, gamma, beta, running_mean, running_variance, training, momentum, eps);
    return relu(residual.defined() ? y + residual : y);
  }
  check_norm(x, running_mean, running_variance, momentum, eps);
  if (!training)
    return batch_norm_eval_fused(x.value(), gamma.value(), beta.value(), running_mean, running_variance, eps,
                                 value_of(residual), true);
  return batch_norm_train(
      "batch_norm_relu", x, gamma, beta,
      {.relu = true, .running_mean = running_mean, .running_variance = running_variance, .momentum = momentum}, eps, residual);
}

Variable conv2d_batch_norm_relu(const Variable& x, const Variable& weight, const Conv2dGeometry& geometry,
                                const Variable& gamma, const Variable& beta, Tensor& running_mean, Tensor& running_variance,
                                const Variable& residual, double eps) {
  if (recorded({&x, &weight, &gamma, &beta, &residual}) || observed())
    return batch_norm_relu(conv2d(x, weight, {}, geometry), gamma, beta, running_mean, running_variance, false, residual, 0,
                           eps);
  check(running_mean.defined() && running_variance.defined(), "batch_norm",
        "expected running statistics; got undefined tensors");
  check(eps > 0, "batch_norm", "expected eps > 0; got {}", eps);
  return conv2d_batch_norm(x.value(), weight.value(), geometry, gamma.value(), beta.value(), running_mean, running_variance,
                           eps, value_of(residual), true);
}

// With x^ = (x - mean) r and r = 1 / sqrt(variance + eps): dx = r (g - mean(g) - x^ mean(g x^)) for g = gamma dy, and dx^ is
// the same function of dx.
Variable layer_norm(const Variable& x, const Variable& gamma, const Variable& beta, double eps) {
  const char* op = "layer_norm";
  check<ShapeError>(x.rank() >= 1, op, "expected at least one axis; got shape {}", x.shape());
  check(gamma.defined() == beta.defined(), op, "expected both gamma and beta, or neither; got one");
  for (const Variable& p : {gamma, beta})
    check<ShapeError>(!p.defined() || p.shape() == Shape{x.size(-1)}, op,
                      "expected gamma and beta of shape ({},) for input {}; got {}", x.size(-1), x.shape(),
                      p.defined() ? p.shape() : Shape{});
  check(eps > 0, op, "expected eps > 0; got {}", eps);
  const Tensor centred = x.value() - mean(x.value(), {-1}, true);
  const Tensor r = unary(mean(centred * centred, {-1}, true) + eps, fn::PowScalar{-0.5});
  const Tensor normalised = centred * r;
  const Tensor scale = gamma.defined() ? gamma.value() : Tensor{};
  const auto scaled = [scale = Saved(scale)](const Tensor& d) { return scale.get().defined() ? d * scale : d; };
  const auto centre = [normalised = Saved(normalised), r = Saved(r)](const Tensor& d) {
    return (d - mean(d, {-1}, true) - normalised * mean(d * normalised, {-1}, true)) * r;
  };
  return record(
      op, gamma.defined() ? normalised * scale + beta.value() : normalised,
      {{x, [=](const Tensor& dy) { return centre(scaled(dy)); }, [=](const Tensor& dx) { return scaled(centre(dx)); }},
       {gamma,
        [normalised = Saved(normalised), shape = scale.shape()](const Tensor& dy) { return sum_to(dy * normalised, shape); },
        [normalised = Saved(normalised)](const Tensor& d) { return d * normalised; }},
       {beta, [shape = scale.shape()](const Tensor& dy) { return sum_to(dy, shape); },
        [shape = x.shape()](const Tensor& d) { return d.expand(shape); }}},
      {{"eps", eps}});
}

// With n the (floored) norm and e = x / n: y = n^(1 - power) e, and dx = n^-power (dy - power e <e, dy>), a symmetric Jacobian;
// below the floor n is a constant and the second term is absent.
Variable l2_normalize(const Variable& x, double power) {
  constexpr const char* op = "l2_normalize";
  constexpr double kFloor = 1e-6;
  check<ShapeError>(x.rank() >= 1 && x.size(-1) >= 1, op, "expected a last axis of extent >= 1; got shape {}", x.shape());
  check(power >= 0 && power <= 2, op, "expected power in [0, 2]; got {}", power);
  // n = scale * length. The largest entry is divided out, so that squares lie in [0, 1] and their sum is >= 1 above the floor.
  const Tensor scale = unary(max(unary<fn::Abs>(x.value()), {-1}, true), fn::Clamp{.low = kFloor});
  const Tensor scaled = x.value() / scale;
  const Tensor unfloored = unary<fn::Sqrt>(sum(scaled * scaled, {-1}, true));
  const Tensor length = unary(unfloored, fn::Clamp{.low = 1});
  const Tensor shrink = unary(length, fn::PowScalar{-power});
  const Tensor above = compare<fn::Equal>(unfloored, length).astype(x.dtype());
  const auto derivative = [e = scaled / length * above, gain = shrink * unary(scale, fn::PowScalar{-power}),
                           power](const Tensor& d) { return (d - e * (sum(e * d, {-1}, true) * power)) * gain; };
  return record(op, scaled * (shrink * unary(scale, fn::PowScalar{1 - power})), {{x, derivative, derivative}},
                {{"power", power}});
}

namespace {
void check_probability(double p) { check(p >= 0 && p < 1, "dropout", "expected 0 <= p < 1; got {}", p); }
}  // namespace

Variable dropout(const Variable& x, double p, bool training) {
  check_probability(p);
  return training && p > 0 ? dropout(x, p, training, next_random_key()) : x;
}

Variable dropout(const Variable& x, double p, bool training, RandomKey key) {
  check_probability(p);
  if (!training || p == 0) return x;
  // Drawn in f32 for every dtype, so that one key means one mask.
  const Tensor draw = random_uniform(x.shape(), 0, 1, DType::f32, x.device(), key);
  const Tensor stays = compare<fn::GreaterEqual>(draw, Tensor::full(Shape{}, p, DType::f32, x.device()));
  const Tensor mask = stays.astype(x.dtype()) * (1 / (1 - p));
  const auto apply = [mask](const Tensor& d) { return d * mask; };
  return record("dropout", apply(x.value()), {{x, apply, apply}});
}

}  // namespace heft
