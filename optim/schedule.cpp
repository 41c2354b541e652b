#include "optim/schedule.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace heft::optim {
namespace {

void check_time(double value, const char* op, const char* what) {
  check(std::isfinite(value) && value > 0, op, "expected {} above 0; got {}", what, value);
}
void check_factor(double value, const char* op, const char* what) {
  check(std::isfinite(value) && value >= 0, op, "expected {} of at least 0; got {}", what, value);
}

// From a at 0 to b at 1.
double half_cosine(double a, double b, double x) { return b + (a - b) * (1 + std::cos(std::acos(-1.0) * x)) / 2; }

// 1 / lambda as `shape` of the share of the way from begin to end that lies behind t.
template <class F>
Schedule ramp(const char* op, double begin, double end, double value, F shape) {
  check(std::isfinite(end) && begin >= 0 && begin < end, op, "expected times 0 <= begin < end; got {} and {}", begin, end);
  check(std::abs(value) >= 1e-3, op, "expected lambda of at least 0.001 in magnitude; got {}", value);
  return [=](double t) {
    if (t <= begin) return std::numeric_limits<double>::infinity();
    return value / shape(std::min((t - begin) / (end - begin), 1.0));
  };
}

}  // namespace

Schedule step_decay(double every, double factor) {
  check_time(every, "step_decay", "a period");
  check_factor(factor, "step_decay", "a factor");
  return [=](double t) { return std::pow(factor, std::floor(t / every)); };
}

Schedule multi_step(std::vector<double> milestones, double factor) {
  check(std::is_sorted(milestones.begin(), milestones.end()), "multi_step", "expected ascending milestones; got {}",
        milestones);
  check_factor(factor, "multi_step", "a factor");
  return [=](double t) {
    const auto reached = std::upper_bound(milestones.begin(), milestones.end(), t) - milestones.begin();
    return std::pow(factor, static_cast<double>(reached));
  };
}

Schedule cosine(double total, double floor) {
  check_time(total, "cosine", "a total");
  check_factor(floor, "cosine", "a floor");
  return [=](double t) { return half_cosine(1, floor, std::min(t / total, 1.0)); };
}

Schedule warm_up(double length, Schedule then) {
  check_time(length, "warm_up", "a length");
  check(then != nullptr, "warm_up", "expected a schedule to follow; got none");
  return [=](double t) { return std::min((t + 1) / length, 1.0) * then(t); };
}

Schedule one_cycle(double total, const OneCycleOptions& options) {
  check_time(total, "one_cycle", "a total");
  check(options.peak_at > 0 && options.peak_at < 1, "one_cycle", "expected peak_at in (0, 1); got {}", options.peak_at);
  check_factor(options.start, "one_cycle", "a start");
  check_factor(options.end, "one_cycle", "an end");
  const double peak = total * options.peak_at;
  return [=](double t) {
    return t < peak ? half_cosine(options.start, 1, t / peak)
                    : half_cosine(1, options.end, std::min((t - peak) / (total - peak), 1.0));
  };
}

Schedule from(double time, double value, double before) {
  check(std::isfinite(time) && time >= 0, "from", "expected a time of at least 0; got {}", time);
  return [=](double t) { return t < time ? before : value; };
}

Schedule lambda_linear(double begin, double end, double value) {
  return ramp("lambda_linear", begin, end, value, [](double x) { return x; });
}

Schedule lambda_cosine(double begin, double end, double value) {
  return ramp("lambda_cosine", begin, end, value, [](double x) { return half_cosine(0, 1, x); });
}

Schedule lambda_steps(std::vector<std::pair<double, double>> times_and_values) {
  for (std::size_t i = 0; i < times_and_values.size(); ++i) {
    const auto [time, value] = times_and_values[i];
    check(time >= 0 && (i == 0 || time > times_and_values[i - 1].first), "lambda_steps",
          "expected ascending times; got {} at {}", time, i);
    check(std::abs(value) >= 1e-3, "lambda_steps", "expected lambda of at least 0.001 in magnitude; got {} at {}", value, i);
  }
  return [=](double t) {
    double lambda = std::numeric_limits<double>::infinity();
    for (const auto& [time, value] : times_and_values)
      if (t >= time) lambda = value;
    return lambda;
  };
}

}  // namespace heft::optim
