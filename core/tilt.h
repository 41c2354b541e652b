// The arithmetic of the exponential weights (optim/exponential_weights.h says what it means), for one batch or one part of it,
// once for every device. `Team` is who computes: one thread, or the threads of a block that share the loops and hold equal
// copies of everything else. A team has
//   each(n, f)            calls f(i) for i in [0, n)
//   any(n, f)             whether f(i) is true for one of them
//   sums<K>(n, f, out)    out[k] = sum over i of the k-th entry that f(i, entries) writes
//   maxima<K>(n, f, out)  the largest instead of the sum; minus infinity for n = 0
//   median(n, values)     the lower middle one of those above minus infinity, 0 where there is none
//   once(f)               one of the threads calls f
// An i is the same thread's in every loop, and f(i) touches the i-th entries of arrays alone: so the loops need not wait for
// each other. What is HEFT_RARE stays out of the way of what every step does.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "core/functors.h"

namespace heft::tilt {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLargest = 1e300;  // |z|; beyond, differences of two would be infinite
constexpr int kPatience = 10;       // batches out of the clip's reach before the average starts anew

// log (1/N) sum exp(z_i) = max + offset, with max the largest z_i and -log N <= offset <= 0. In two parts, because the sum
// of the two loses the offset when max is huge.
struct LogMeanExp {
  double max = -kInfinity;
  double offset = 0;
};

// How the average u begins; eta is the weight of the newest batch.
enum class Start : std::uint8_t {
  // eta_t = gamma_t / c_t, c_t = 1 - (1 - gamma_1) ... (1 - gamma_t): Adam's correction. The first batch has sum w = N.
  bias_corrected,
  // u_1 = mean exp(z) of the first batch, then eta = gamma_t.
  first_batch,
  // The authors' code: u_0 = 0, eta = gamma whatever the batch, u left as it is when lambda changes, no clip unless asked
  // for. The first batch has sum w = N / (gamma alpha).
  official,
};
enum class Target : std::uint8_t { none, effective_share, kl };

struct Options {
  double gamma = 0.9, alpha = 1, clip = kInfinity, min_share = 0;
  Start start = Start::bias_corrected;
  Target solve = Target::none;  // lambda solved for on this batch
  double target = 0, smallest = 1e-3, largest = 1e6;
  double dual_rate = 0;  // above 0: a step of the dual after the batch, towards the KL `target`
  bool mean = false;     // no tilt at all: the weights are the prior
};

// The moving average.
struct Average {
  double lambda = kInfinity;
  double log_u = -kInfinity;
  double mass = 0;  // 1 - product of (1 - gamma_t): what the average is made of; 0: nothing yet
  double mean_prior = 1;
  double mean_loss = 0;
  std::int64_t batch_size = 0;   // the largest so far
  std::int64_t far_batches = 0;  // in a row, out of the clip's reach
  std::int64_t restarts = 0;
  bool has_prior = false;
};

// The open batch, all its parts so far.
struct Pool {
  std::int64_t samples = 0, clipped = 0;
  LogMeanExp z = {};                   // of z + log q, clipped
  LogMeanExp free = {};                // the same without the clip
  LogMeanExp free_before = {};         // with the prior that was
  double prior = 0, prior_before = 0;  // means
  double loss = 0;                     // sum q loss / sum q
  bool far = true;
};

// A batch or a part of one. A prior that is null is all 1.
struct Batch {
  std::int64_t n = 0;
  const double* losses = nullptr;
  const double* prior = nullptr;
  const double* prior_before = nullptr;

  HEFT_HD double q(std::int64_t i) const { return prior ? prior[i] : 1; }
};

struct Solution {
  double lambda = 0, reached = 0;
  bool clamped = false;
};

// On a GPU functions of their own: inlined everywhere, they are more code than its caches hold, and fetching it is what such a
// small kernel then waits for. Those that are HEFT_RARE take all they need by value: what is passed by reference would have to
// lie in memory from the start.
#if defined(__CUDACC__)
#define HEFT_CALL __noinline__ inline
#define HEFT_RARE __noinline__
#else
#define HEFT_CALL inline
#define HEFT_RARE
#endif
HEFT_HD HEFT_CALL double exp_of(double x) { return std::exp(x); }
HEFT_HD HEFT_CALL double log_of(double x) { return x == 1 ? 0 : std::log(x); }
HEFT_HD HEFT_CALL double log1p_of(double x) { return std::log1p(x); }
HEFT_HD HEFT_CALL double expm1_of(double x) { return std::expm1(x); }
HEFT_HD HEFT_CALL double quotient(double a, double b) { return a / b; }
#undef HEFT_CALL

HEFT_HD inline double larger(double a, double b) { return a > b ? a : b; }
HEFT_HD inline double smaller(double a, double b) { return a < b ? a : b; }
HEFT_HD inline double within(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

HEFT_HD inline double log_add_exp(double a, double b) {
  const double high = larger(a, b), low = smaller(a, b);
  return high == low ? high + log_of(2.0) : high + log1p_of(exp_of(low - high));
}

// Of two parts of one batch, with n and m entries.
HEFT_HD inline LogMeanExp merge(const LogMeanExp& a, std::int64_t n, const LogMeanExp& b, std::int64_t m) {
  if (n == 0) return b;
  const double max = larger(a.max, b.max), all = static_cast<double>(n + m);
  if (max == -kInfinity) return {max, 0};
  const double parts =
      static_cast<double>(n) * exp_of(a.offset + (a.max - max)) + static_cast<double>(m) * exp_of(b.offset + (b.max - max));
  return {max, log_of(quotient(parts, all))};
}

// The mean of n and m numbers from those of either.
HEFT_HD inline double mean_of_two(double a, double n, double b, double m) {
  if (n == 0) return b;
  return n + m > 0 ? a + (b - a) * quotient(m, n + m) : 0;
}

template <class Team, class F>
HEFT_HD double largest(const Team& team, std::int64_t n, F f) {
  double top[1];
  team.template maxima<1>(
      n, [=](std::int64_t i, double(&out)[1]) { out[0] = f(i); }, top);
  return top[0];
}

// `max` is the largest z.
template <class Team>
HEFT_HD LogMeanExp log_mean_exp(const Team& team, std::int64_t n, const double* z, double max) {
  if (max == -kInfinity) return {max, 0};
  double sum[1];
  team.template sums<1>(
      n, [=](std::int64_t i, double(&out)[1]) { out[0] = exp_of(z[i] - max); }, sum);
  return {max, log_of(quotient(sum[0], static_cast<double>(n)))};
}

template <class Team>
HEFT_HD LogMeanExp log_mean_exp(const Team& team, std::int64_t n, const double* z) {
  return log_mean_exp(team, n, z, largest(team, n, [=](std::int64_t i) { return z[i]; }));
}

// z_i + log q_i
template <class Team>
HEFT_HD void tilt(const Team& team, const Batch& batch, double lambda, const double* prior, double* z) {
  team.each(batch.n, [=](std::int64_t i) {
    z[i] = within(quotient(batch.losses[i], lambda), -kLargest, kLargest);
    if (prior) z[i] += log_of(prior[i]);
  });
}

// ---- how concentrated the weights of a lambda are: optim/solve_lambda.h

// sum q, sum q e, sum q e^2 and sum q log e of e = exp(z - max z); what has no mass is left out.
struct Moments {
  double mass = 0, first = 0, second = 0, log_moment = 0;
};

template <class Team>
HEFT_HD Moments moments(const Team& team, const Batch& batch, double lambda) {
  // Differences of losses first: a common offset of 1e30 is none.
  const double sign = lambda > 0 ? 1 : -1, size = std::abs(lambda);
  const double top =
      largest(team, batch.n, [=](std::int64_t i) { return batch.q(i) > 0 ? sign * batch.losses[i] : -kInfinity; });
  double all[4];
  team.template sums<4>(
      batch.n,
      [=](std::int64_t i, double(&out)[4]) {
        const double q = batch.q(i), log_e = q > 0 ? quotient(sign * batch.losses[i] - top, size) : 0,
                     e = q > 0 ? exp_of(log_e) : 0;
        out[0] = q, out[1] = q * e, out[2] = q * e * e, out[3] = e > 0 ? q * e * log_e : 0;
      },
      all);
  return {all[0], all[1], all[2], all[3]};
}

template <class Team>
HEFT_HD HEFT_RARE double effective_share_at(Team team, Batch batch, double lambda) {
  const Moments m = moments(team, batch, lambda);
  return m.first / m.mass * (m.first / m.second);
}

template <class Team>
HEFT_HD HEFT_RARE double kl_at(Team team, Batch batch, double lambda) {
  const Moments m = moments(team, batch, lambda);
  return larger(0.0, m.log_moment / m.first - log_of(m.first / m.mass));
}

// The lambda of this sign whose weights have the wanted concentration, by bisection: see LambdaSolution.
template <class Team>
HEFT_HD HEFT_RARE Solution solve(Team team, Batch batch, Target what, double wanted, double sign, double smallest,
                                 double largest) {
  constexpr int kSteps = 60;  // halvings of log |lambda| over nine decades: to the last bits of a double
  const bool share = what == Target::effective_share;
  const double target = share ? -wanted : wanted;
  const auto at = [&](double log_size) {  // grows as |lambda| falls
    const double lambda = sign * exp_of(log_size);
    return share ? -effective_share_at(team, batch, lambda) : kl_at(team, batch, lambda);
  };
  const auto solution = [&](double lambda, double reached, bool clamped) {
    return Solution{lambda, share ? -reached : reached, clamped};
  };
  double low = log_of(smallest), high = log_of(largest);
  const double most = at(low), least = at(high);
  if (target > most) return solution(sign * smallest, most, true);
  if (target < least) return solution(sign * largest, least, true);
  for (int step = 0; step < kSteps; ++step) {
    const double middle = (low + high) / 2;
    (at(middle) > target ? low : high) = middle;
  }
  return solution(sign * exp_of(high), at(high), false);
}

// ---- the average

HEFT_HD inline double level(const Options& o, const Average& a) { return a.log_u - log_of(o.alpha); }

HEFT_HD inline double objective(const Options& o, const Average& a) {
  if (a.mass == 0) return 0;
  return std::isinf(a.lambda) ? a.mean_loss : a.lambda * (level(o, a) - log_of(a.mean_prior));
}

HEFT_HD inline void change_lambda(const Options& o, Average& a, double lambda) {
  if (o.start != Start::official && a.mass > 0 && !std::isinf(lambda))
    a.log_u = within(objective(o, a) / lambda, -kLargest, kLargest) + log_of(o.alpha) + log_of(a.mean_prior);
  a.lambda = lambda;
}

HEFT_HD inline double gamma_of(const Options& o, std::int64_t n, std::int64_t batch_size) {
  if (o.start == Start::official || n == batch_size) return o.gamma;
  return -expm1_of(quotient(static_cast<double>(n), static_cast<double>(batch_size)) * log1p_of(-o.gamma));
}

// What a part of a batch adds to the pool besides its z: the means of q, of what q was, and of q loss over that of q.
template <class Team>
HEFT_HD void pool_priors(const Team& team, const Batch& batch, Pool& pool) {
  const double now = static_cast<double>(batch.n), earlier = static_cast<double>(pool.samples);
  double priors[2] = {1, 1}, loss[1] = {0};
  if (batch.prior || batch.prior_before)
    team.template sums<2>(
        batch.n,
        [=](std::int64_t i, double(&out)[2]) {
          out[0] = quotient(batch.q(i), now);
          out[1] = quotient(batch.prior_before ? batch.prior_before[i] : 1, now);
        },
        priors);
  const double prior = priors[0];
  if (prior > 0)
    team.template sums<1>(
        batch.n,
        [=](std::int64_t i, double(&out)[1]) {
          out[0] = quotient(batch.losses[i], now) * (batch.prior ? quotient(batch.q(i), prior) : 1);
        },
        loss);
  pool.loss = mean_of_two(pool.loss, earlier * pool.prior, loss[0], now * prior);
  pool.prior = mean_of_two(pool.prior, earlier, prior, now);
  pool.prior_before = mean_of_two(pool.prior_before, earlier, priors[1], now);
}

// u and the mean of q, from what they would be under the prior that was to what they are under the new one: this batch, which
// has both, says by how much they differ.
template <class Team>
HEFT_HD void change_prior(const Team& team, Average& next, const Batch& batch, Pool& pool, double* scratch) {
  if (!std::isinf(next.lambda)) {
    tilt(team, batch, next.lambda, batch.prior, scratch);
    pool.free = merge(pool.free, pool.samples, log_mean_exp(team, batch.n, scratch), batch.n);
    tilt(team, batch, next.lambda, batch.prior_before, scratch);
    pool.free_before = merge(pool.free_before, pool.samples, log_mean_exp(team, batch.n, scratch), batch.n);
    const double shift = (pool.free.max - pool.free_before.max) + (pool.free.offset - pool.free_before.offset);
    if (std::isfinite(shift)) next.log_u += shift;
  }
  if (pool.prior > 0 && pool.prior_before > 0) next.mean_prior *= pool.prior / pool.prior_before;
}

// Whether the mean of exp(z) lies below exp(level).
template <class Team>
HEFT_HD HEFT_RARE bool mean_is_below(Team team, std::int64_t n, const double* z, double highest, double level) {
  const LogMeanExp b = log_mean_exp(team, n, z, highest);
  return b.max + b.offset < level;
}

// Bounds z; returns how many of it were above.
template <class Team>
HEFT_HD HEFT_RARE std::int64_t clip(Team team, std::int64_t n, double* z, double bound) {
  double touched[1];
  team.template sums<1>(
      n, [=](std::int64_t i, double(&out)[1]) { out[0] = z[i] > bound ? 1 : 0; }, touched);
  team.each(n, [=](std::int64_t i) { z[i] = smaller(z[i], bound); });
  return static_cast<std::int64_t>(touched[0]);
}

// Applies the clip to z and notes how many it touched, and whether all of z is out of the average's reach. Returns the largest
// z.
template <class Team>
HEFT_HD double bound(const Team& team, const Options& o, std::int64_t n, double* z, const Average& average, Pool& pool) {
  double ends[2];
  team.template maxima<2>(
      n, [=](std::int64_t i, double(&out)[2]) { out[0] = z[i], out[1] = -z[i]; }, ends);
  const double highest = ends[0], lowest = -ends[1];
  if (std::isinf(o.clip)) {
    pool.far = false;
    return highest;
  }
  const double reach = log_of(static_cast<double>(average.batch_size)) + o.clip;
  double middle = 0;
  if (o.gamma < 1 && average.log_u > -kInfinity) {
    middle = level(o, average);
    bool far = highest < middle - reach || lowest > middle + reach;
    if (!far && lowest < middle - reach)  // else the mean of exp(z) cannot be that low
      far = mean_is_below(team, n, z, highest, middle - reach);
    pool.far = pool.far && far;
  } else {
    middle = team.median(n, z);
    pool.far = false;
  }
  if (highest <= middle + reach) return highest;
  pool.clipped += clip(team, n, z, middle + reach);
  return middle + reach;
}

// Where lambda leaves the batch to fewer samples than min_share, the shares of the next lambda that does not.
template <class Team>
HEFT_HD HEFT_RARE void spread(Team team, double min_share, Batch batch, double lambda, double* weights, double* scratch) {
  double total[1];
  team.template sums<1>(
      batch.n, [=](std::int64_t i, double(&out)[1]) { out[0] = weights[i]; }, total);
  if (!(total[0] > 0) || effective_share_at(team, batch, lambda) >= min_share) return;
  const double milder = solve(team, batch, Target::effective_share, min_share, lambda < 0 ? -1.0 : 1.0, 1e-3, 1e6).lambda;
  tilt(team, batch, milder, batch.prior, scratch);
  const LogMeanExp b = log_mean_exp(team, batch.n, scratch);
  const double mean = total[0] / static_cast<double>(batch.n);
  team.each(batch.n, [=](std::int64_t i) { weights[i] = mean * exp_of((scratch[i] - b.max) - b.offset); });
}

// One batch or part of one. `average` and `pool` are those after the parts so far (of a first part a new Pool), and those after
// this one when it returns; `before` is the average before the batch. `weights` and `scratch` hold n numbers each.
template <class Team>
HEFT_HD void weigh(const Team& team, const Options& o, const Batch& batch, const Average& before, Average& average, Pool& pool,
                   bool& clamped, double* weights, double* scratch) {
  if (o.mean) {
    team.each(batch.n, [=](std::int64_t i) { weights[i] = batch.q(i); });
    pool.samples += batch.n;
    return;
  }
  Average next = before;
  if (next.far_batches >= kPatience) {
    const Average old = next;
    next = Average{};
    next.lambda = old.lambda, next.batch_size = old.batch_size, next.restarts = old.restarts + 1;
  }
  const std::int64_t n = batch.n;
  if (pool.samples + n > next.batch_size) next.batch_size = pool.samples + n;
  pool_priors(team, batch, pool);
  if (o.solve != Target::none && !std::isinf(next.lambda) && pool.prior > 0) {
    const Solution found = solve(team, batch, o.solve, o.target, next.lambda < 0 ? -1.0 : 1.0, o.smallest, o.largest);
    // On a batch of equal losses every lambda has the wanted concentration, and the last one stays.
    double ends[2];
    team.template maxima<2>(
        n, [=](std::int64_t i, double(&out)[2]) { out[0] = batch.losses[i], out[1] = -batch.losses[i]; }, ends);
    if (-ends[1] < ends[0]) change_lambda(o, next, found.lambda);
    clamped = found.clamped;
  }
  if (next.mass > 0 && (batch.prior_before || (batch.prior && !next.has_prior))) change_prior(team, next, batch, pool, scratch);
  next.has_prior = batch.prior != nullptr;

  const bool tilted = !std::isinf(next.lambda);
  double* z = weights;
  if (tilted) {
    tilt(team, batch, next.lambda, batch.prior, z);
    const double highest = bound(team, o, n, z, next, pool);
    pool.z = merge(pool.z, pool.samples, log_mean_exp(team, n, z, highest), n);
    next.far_batches = pool.far ? next.far_batches + 1 : 0;
  }
  pool.samples += n;
  if (!(pool.prior > 0)) {
    team.each(n, [=](std::int64_t i) { weights[i] = 0; });
    average = before;
    return;
  }
  const double gamma = gamma_of(o, pool.samples, next.batch_size);
  const bool first = next.mass == 0;
  next.mass = o.start == Start::bias_corrected ? next.mass + gamma * (1 - next.mass) : 1;
  const double eta = first ? 1 : quotient(gamma, next.mass);
  next.mean_prior = first ? pool.prior : next.mean_prior + eta * (pool.prior - next.mean_prior);
  next.mean_loss = first ? pool.loss : (1 - eta) * next.mean_loss + eta * pool.loss;
  if (!tilted) {
    const double mean_prior = next.mean_prior;
    team.each(n, [=](std::int64_t i) { weights[i] = quotient(batch.q(i), mean_prior); });
  } else {
    // Everything relative to the batch's largest z, so that digits survive where z and log u are huge.
    const double rate = o.start == Start::official ? o.gamma : eta, max = pool.z.max;
    const double offset = log_add_exp(log1p_of(-rate) + (next.log_u - max), log_of(rate) + log_of(o.alpha) + pool.z.offset);
    next.log_u = max + offset;
    team.each(n, [=](std::int64_t i) { weights[i] = exp_of((z[i] - max) - offset); });
    if (o.min_share > 0) spread(team, o.min_share, batch, next.lambda, weights, scratch);
  }
  average = next;
}

// |lambda| <- |lambda| - rate (kl - KL on this batch), within its bounds.
template <class Team>
HEFT_HD void dual_step(const Team& team, const Options& o, const Batch& batch, Average& average, const Pool& pool,
                       bool& clamped) {
  if (std::isinf(average.lambda) || !(pool.prior > 0)) return;
  const double next = std::abs(average.lambda) - o.dual_rate * (o.target - kl_at(team, batch, average.lambda));
  const double bounded = within(next, o.smallest, o.largest);
  clamped = bounded != next;
  change_lambda(o, average, std::copysign(bounded, average.lambda));
}

// ---- a step: a whole batch, from one state to the next

constexpr double kShareUnits = 0x1p32;

struct State {
  std::int64_t bad_sample = 0;  // 1 + the first sample whose loss or prior was not what it must be; 0: none so far
  bool bad_prior = false;       // it was its prior
  bool clamped = false;         // the last lambda that was solved for is the end of its range
  Average average = {};
  Average before = {};  // before the last batch
  Pool pool = {};
  // Sums over all steps since the state was made.
  std::int64_t steps = 0, clamped_steps = 0;
  // Effective sample size over n, in units of 1 / kShareUnits: the difference of whole numbers is exact, and so are sums of two
  // million of them in double. What an epoch sums up to does then not depend on what came before it, or on breaks.
  std::int64_t effective_share = 0;
};

HEFT_HD inline bool is_loss(double x) { return std::isfinite(x); }
HEFT_HD inline bool is_prior(double x) { return std::isfinite(x) && x >= 0; }

template <class Team>
HEFT_HD HEFT_RARE void refuse(Team team, Batch batch, State* state, bool update, double* weights) {
  double bad[2];  // minus the first one
  team.template maxima<2>(
      batch.n,
      [=](std::int64_t i, double(&out)[2]) {
        const double at = -static_cast<double>(i);
        out[0] = is_loss(batch.losses[i]) ? -kInfinity : at, out[1] = is_prior(batch.q(i)) ? -kInfinity : at;
      },
      bad);
  team.each(batch.n, [=](std::int64_t i) { weights[i] = 0; });
  if (!update) return;
  const bool prior = bad[0] == -kInfinity;
  team.once([=] {
    state->bad_prior = prior;
    state->bad_sample = 1 - static_cast<std::int64_t>(prior ? bad[1] : bad[0]);
  });
}

// Writes the weights and returns (1/n) sum w_i loss_i. After a bad sample the state stays, the weights are 0 and the result
// NaN. Without `update` the state stays too.
template <class Team>
HEFT_HD double step(const Team& team, const Options& o, const Batch& batch, State& state, bool update, double* weights,
                    double* scratch) {
  const std::int64_t n = batch.n;
  // What is read of the state is read first and all at once: on a GPU it is far away, and one thread writes to it.
  const State was = state;
  if (team.any(n, [=](std::int64_t i) { return !is_loss(batch.losses[i]) || !is_prior(batch.q(i)); }) || was.bad_sample != 0) {
    refuse(team, batch, &state, update && was.bad_sample == 0, weights);
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (update) team.once([&] { state.before = was.average; });
  Average average = was.average;
  Pool pool = {};
  bool clamped = was.clamped;
  weigh(team, o, batch, was.average, average, pool, clamped, weights, scratch);
  if (update && o.dual_rate > 0) dual_step(team, o, batch, average, pool, clamped);
  const double most = largest(team, n, [=](std::int64_t i) { return weights[i]; });
  const double scale = most > 0 ? quotient(1, most) : 0;  // squares of tiny weights would underflow
  double sums[3];
  team.template sums<3>(
      n,
      [=](std::int64_t i, double(&out)[3]) {
        const double share = weights[i] * scale;
        out[0] = share, out[1] = share * share, out[2] = weights[i] * quotient(batch.losses[i], static_cast<double>(n));
      },
      sums);
  if (!update) return sums[2];
  const double share = sums[1] > 0 ? quotient(quotient(sums[0] * sums[0], sums[1]), static_cast<double>(n)) : 0;
  const bool at_end = clamped && !std::isinf(average.lambda);
  team.once([&] {
    state.clamped = clamped;
    state.average = average;
    state.pool = pool;
    state.steps = was.steps + 1;
    state.clamped_steps = was.clamped_steps + (at_end ? 1 : 0);
    state.effective_share = was.effective_share + static_cast<std::int64_t>(share * kShareUnits);
  });
  return sums[2];
}

// ---- one thread

struct OneThread {
  template <class F>
  void each(std::int64_t n, F f) const {
    for (std::int64_t i = 0; i < n; ++i) f(i);
  }
  template <int K, class F>
  void sums(std::int64_t n, F f, double (&out)[K]) const {
    for (double& sum : out) sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      double entries[K];
      f(i, entries);
      for (int k = 0; k < K; ++k) out[k] += entries[k];
    }
  }
  template <int K, class F>
  void maxima(std::int64_t n, F f, double (&out)[K]) const {
    for (double& top : out) top = -kInfinity;
    for (std::int64_t i = 0; i < n; ++i) {
      double entries[K];
      f(i, entries);
      for (int k = 0; k < K; ++k) out[k] = larger(entries[k], out[k]);
    }
  }
  template <class F>
  bool any(std::int64_t n, F f) const {
    for (std::int64_t i = 0; i < n; ++i)
      if (f(i)) return true;
    return false;
  }
  template <class F>
  void once(F f) const {
    f();
  }
  double median(std::int64_t n, const double* values) const;  // core/tilt.cpp
};

#undef HEFT_RARE

}  // namespace heft::tilt
