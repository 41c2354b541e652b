#include "autograd/check_gradients.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <span>

#include "core/check.h"
#include "core/ops.h"
#include "core/random.h"

namespace heft {
namespace {

constexpr int kTries = 5;  // new points where one is on a kink

// The scalar that is differentiated: the result contracted with fixed random numbers.
class Objective {
 public:
  Objective(const std::function<Variable()>& f, const GradientCheckOptions& options) : f_(f), seed_(options.seed) {}

  double value() const {
    const NoGrad no_grad;
    const Tensor y = f_().value();
    return sum(y * weights(y)).item<double>();
  }

  // Gradients of all parameters at the present point, zeros where none arrives.
  std::vector<Tensor> gradients(std::vector<Variable>& parameters) const {
    for (Variable& p : parameters) p.zero_grad();
    const Variable y = f_();
    if (y.requires_grad()) backward(y, weights(y.value()));
    std::vector<Tensor> gradients;
    for (Variable& p : parameters) {
      gradients.push_back(p.has_grad() ? p.grad() : Tensor::zeros_like(p.value()));
      p.zero_grad();
    }
    return gradients;
  }

 private:
  Tensor weights(const Tensor& y) const {
    check<DTypeError>(y.dtype() == DType::f64, "check_gradients", "expected f to return f64; got {}", y.dtype());
    return random_normal(y.shape(), 0, 1, y.dtype(), y.device(), {seed_, stream_of("check_gradients")});
  }

  const std::function<Variable()>& f_;
  std::uint64_t seed_;
};

// A line through the present point: one entry of one parameter, or a direction through all of them.
struct Line {
  std::size_t parameter = 0;
  std::int64_t entry = 0;
  std::vector<Tensor> direction;  // empty: the entry
};

class Checker {
 public:
  Checker(const std::function<Variable()>& f, std::vector<Variable> parameters, const GradientCheckOptions& options)
      : objective_(f, options),
        parameters_(std::move(parameters)),
        options_(options),
        random_({options.seed, stream_of("check_gradients points")}) {}

  GradientCheckReport run() {
    for (Variable& p : parameters_) {
      p.set_value(p.value().contiguous());
      start_.push_back(p.value().clone());
    }
    gradients_ = objective_.gradients(parameters_);
    start_value_ = objective_.value();
    try {
      for (std::size_t k = 0; k < parameters_.size(); ++k)
        for (const std::int64_t entry : entries(parameters_[k].value().numel())) compare({k, entry, {}});
      for (int i = 0; i < options_.directions; ++i) compare({0, 0, random_direction(i)});
    } catch (...) {
      restore();
      throw;
    }
    report_.ok = report_.worst <= 1 && report_.skipped <= report_.checked;
    if (report_.worst <= 1 && !report_.ok)
      report_.message = fmt::format("{} of {} points lie on a kink: too few are left to judge by", report_.skipped,
                                    report_.skipped + report_.checked);
    return report_;
  }

 private:
  // All entries, or a sample of them in order.
  std::vector<std::int64_t> entries(std::int64_t n) {
    std::vector<std::int64_t> all(static_cast<std::size_t>(n));
    std::iota(all.begin(), all.end(), 0);
    if (options_.max_entries <= 0 || n <= options_.max_entries) return all;
    random_.shuffle(std::span(all));
    all.resize(static_cast<std::size_t>(options_.max_entries));
    std::sort(all.begin(), all.end());
    return all;
  }

  // Of unit length: a step along it stays a small step however many parameters there are, and crosses few kinks.
  std::vector<Tensor> random_direction(int i) const {
    std::vector<Tensor> direction;
    double squares = 0;
    for (const Tensor& p : start_) {
      direction.push_back(random_normal(
          p.shape(), 0, 1, DType::f64, p.device(),
          {options_.seed, stream_of("check_gradients direction", static_cast<std::uint64_t>(i), direction.size())}));
      squares += sum(direction.back() * direction.back()).item<double>();
    }
    for (Tensor& part : direction) part = part * (1 / std::sqrt(squares));
    return direction;
  }

  void restore() {
    for (std::size_t k = 0; k < parameters_.size(); ++k) Tensor(parameters_[k].value()).copy_(start_[k]);
  }

  // Moves the parameters from the start to `base` + t along the line.
  void move(const Line& line, double base, double t) {
    if (line.direction.empty()) {
      const std::int64_t i = line.entry;
      const double from = start_[line.parameter].reshape({-1}).slice(0, i, i + 1).item<double>();
      Tensor value = parameters_[line.parameter].value();
      Tensor moved = value.is_opaque() ? value.contiguous() : value;  // a layer may have laid it out for itself
      moved.reshape({-1}).slice(0, i, i + 1).fill_(from + base + t);
      if (value.is_opaque()) value.copy_(moved);
      return;
    }
    for (std::size_t k = 0; k < parameters_.size(); ++k)
      Tensor(parameters_[k].value()).copy_(start_[k] + line.direction[k] * (base + t));
  }

  static double slope(const Line& line, const std::vector<Tensor>& gradients) {
    if (line.direction.empty())
      return gradients[line.parameter].reshape({-1}).slice(0, line.entry, line.entry + 1).item<double>();
    double total = 0;
    for (std::size_t k = 0; k < gradients.size(); ++k) total += sum(gradients[k] * line.direction[k]).item<double>();
    return total;
  }

  // The central difference, or nothing where the two one-sided ones disagree.
  std::optional<double> difference(const Line& line, double base) {
    const double h = options_.eps;
    move(line, base, h);
    const double above = objective_.value();
    move(line, base, -h);
    const double below = objective_.value();
    move(line, base, 0);
    const double here = base == 0 ? start_value_ : objective_.value();
    const double central = (above - below) / (2 * h), jump = std::abs((above - here) - (here - below)) / h;
    if (jump > tolerance(central)) return std::nullopt;  // a NaN is no kink: it is compared, and fails
    return central;
  }

  double tolerance(double numeric) const { return options_.atol + options_.rtol * std::abs(numeric); }

  void compare(const Line& line) {
    for (int attempt = 0; attempt < kTries; ++attempt) {
      // Far enough to leave the kink, near enough to stay in the function's domain.
      const double base = attempt == 0 ? 0 : 0.01 * (2 * random_.uniform() - 1);
      const std::optional<double> numeric = difference(line, base);
      if (numeric) {
        const double analytic = slope(line, attempt == 0 ? gradients_ : objective_.gradients(parameters_));
        move(line, 0, 0);
        return judge(line, analytic, *numeric);
      }
      report_.kinks += attempt == 0;
    }
    move(line, 0, 0);
    ++report_.skipped;
  }

  void judge(const Line& line, double analytic, double numeric) {
    ++report_.checked;
    const double error = std::abs(analytic - numeric) / tolerance(numeric);
    if (error <= report_.worst) return;  // false for a NaN, which then stays the worst
    report_.worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
    report_.message = fmt::format("{}: gradient {:.8g}, finite difference {:.8g}", where(line), analytic, numeric);
  }

  std::string where(const Line& line) const {
    if (!line.direction.empty()) return "a direction through all inputs";
    const Variable& p = parameters_[line.parameter];
    std::string index;
    std::int64_t rest = line.entry;
    for (int axis = p.rank() - 1; axis >= 0; rest /= p.shape()[axis--])
      index = std::to_string(rest % p.shape()[axis]) + (index.empty() ? "" : ", ") + index;
    return fmt::format("{}[{}] of shape {}", p.name().empty() ? "input " + std::to_string(line.parameter) : p.name(), index,
                       p.shape());
  }

  Objective objective_;
  std::vector<Variable> parameters_;
  GradientCheckOptions options_;
  RandomSequence random_;
  std::vector<Tensor> start_;
  double start_value_ = 0;
  std::vector<Tensor> gradients_;
  GradientCheckReport report_;
};

}  // namespace

GradientCheckReport check_gradients(const std::function<Variable()>& f, const std::vector<Variable>& parameters,
                                    const GradientCheckOptions& options) {
  const char* op = "check_gradients";
  check(options.eps > 0 && options.atol >= 0 && options.rtol >= 0 && options.atol + options.rtol > 0, op,
        "expected eps > 0 and tolerances >= 0, not both 0; got eps {}, atol {}, rtol {}", options.eps, options.atol,
        options.rtol);
  check(options.max_entries >= 0 && options.directions >= 0, op, "expected max_entries >= 0 and directions >= 0; got {} and {}",
        options.max_entries, options.directions);
  for (const Variable& p : parameters) {
    check<DTypeError>(p.dtype() == DType::f64, op, "expected inputs of f64; got {}", p.dtype());
    check<AutogradError>(p.is_leaf() && p.requires_grad(), op, "expected leaves that require a gradient; got {}",
                         p.is_leaf() ? "a constant" : "the result of an operation");
  }
  return Checker(f, parameters, options).run();
}

GradientCheckReport check_gradients(const std::function<Variable(const std::vector<Variable>&)>& f,
                                    const std::vector<Tensor>& inputs, const GradientCheckOptions& options) {
  std::vector<Variable> leaves;
  for (const Tensor& input : inputs) {
    check<DTypeError>(input.dtype() == DType::f64, "check_gradients", "expected inputs of f64; got {}", input.dtype());
    leaves.emplace_back(input.clone(), true);
  }
  return check_gradients([&] { return f(leaves); }, leaves, options);
}

}  // namespace heft
