// Schedules: functions of time. Time counts epochs or steps, as the caller likes, from 0, and may be fractional.
//   const Schedule rate = warm_up(5, cosine(200));
//   const Schedule lambda = from(160, 5.0);
//   for (int epoch = 0; epoch < 200; ++epoch) { opt.set_lr_factor(rate(epoch)); opt.set_lambda(lambda(epoch)); ... }
#pragma once

#include <functional>
#include <limits>
#include <utility>
#include <vector>

namespace heft::optim {

using Schedule = std::function<double(double time)>;

// ---- factors on the learning rate. All throw ValueError for times or factors that make no sense, naming them.
// factor^floor(t / every)
Schedule step_decay(double every, double factor = 0.1);
// factor^(milestones that t has reached); milestones ascend.
Schedule multi_step(std::vector<double> milestones, double factor = 0.1);
// From 1 at 0 to `floor` at `total` along half a cosine; `floor` after it.
Schedule cosine(double total, double floor = 0);
// For t < length: (t + 1) / length of what `then` gives, so that it ends at the full rate and the first epoch learns too.
Schedule warm_up(double length, Schedule then);

struct OneCycleOptions {
  double peak_at = 0.3;  // share of the total, in (0, 1)
  double start = 1.0 / 25;
  double end = 1e-4 / 25;
};
// From `start` up to 1 and down to `end`, each along half a cosine (Smith and Topin, 2019; PyTorch's defaults).
Schedule one_cycle(double total, const OneCycleOptions& options = {});

// ---- for lambda
// `value` from `time` on, `before` until then: the two-stage recipe, the mean first.
Schedule from(double time, double value, double before = std::numeric_limits<double>::infinity());
// 1 / lambda from 0 (the mean) at `begin` to 1 / value at `end`, along a line or half a cosine; begin < end.
Schedule lambda_linear(double begin, double end, double value);
Schedule lambda_cosine(double begin, double end, double value);
// Infinity before the first time, then the value of the last time reached; times ascend.
Schedule lambda_steps(std::vector<std::pair<double, double>> times_and_values);

}  // namespace heft::optim
