// Numbers in parentheses: the checks of the algorithm's specification, section 9.
#include "optim/exponential_weights.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "autograd/linalg.h"
#include "autograd/shape_ops.h"
#include "core/error.h"
#include "core/random.h"
#include "layers/losses.h"
#include "optim/batch_sums.h"
#include "tests/catch_compat.h"

using namespace heft;
using namespace heft::optim;
using heft::test::contains;
using heft::test::message_of;

namespace {

constexpr double kInfinity = ExponentialWeights::kInfinity;

double sum(const std::vector<double>& x) {
  double total = 0;
  for (const double v : x) total += v;
  return total;
}

using Numbers = std::vector<double>;

// The method as it is written on paper: u itself, exp(z) itself. Long double holds exp(+-11000).
class BruteForce {
 public:
  explicit BruteForce(const ExponentialWeightsOptions& options) : o_(options) {}

  std::vector<long double> weigh(const Numbers& losses, const Numbers& q, const Numbers& q_before = {}) {
    const std::size_t n = losses.size();
    std::vector<long double> e, sorted;
    long double mean = 0, mean_before = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const long double tilted = std::exp(static_cast<long double>(losses[i]) / o_.lambda);
      e.push_back(q[i] * tilted);
      if (q[i] > 0) sorted.push_back(std::log(e.back()));
      if (!q_before.empty()) mean_before += q_before[i] * tilted / n;
      mean += e.back() / n;
    }
    if (mean == 0) return e;
    largest_ = std::max(largest_, n);
    if (mean_before > 0) u_ *= mean / mean_before;
    const double clip =
        o_.clip.value_or(o_.start == Start::official || o_.gamma == 1 ? kInfinity : ExponentialWeights::kDefaultClip);
    std::sort(sorted.begin(), sorted.end());
    const long double level = steps_ > 0 && o_.gamma < 1 ? std::log(average() / o_.alpha) : sorted[(sorted.size() - 1) / 2];
    const long double top = level + std::log(static_cast<long double>(largest_)) + clip;
    clipped = 0;
    mean = 0;
    for (long double& v : e) {
      clipped += std::log(v) > top;
      if (!std::isinf(clip)) v = std::min(v, std::exp(top));
      mean += v / n;
    }
    long double gamma = o_.gamma;
    if (o_.start != Start::official) gamma = 1 - std::pow(1.0L - gamma, static_cast<long double>(n) / largest_);
    if (o_.start == Start::first_batch && steps_ == 0) gamma = 1;
    u_ = (1 - gamma) * u_ + gamma * o_.alpha * mean;
    left_ *= 1 - gamma;
    ++steps_;
    for (long double& v : e) v /= average();
    return e;
  }
  long double average() const { return o_.start == Start::bias_corrected ? u_ / (1 - left_) : u_; }

  int clipped = 0;

 private:
  ExponentialWeightsOptions o_;
  long double u_ = 0, left_ = 1;
  std::size_t largest_ = 0;
  int steps_ = 0;
};

struct Random {
  std::mt19937_64 engine{1};
  double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(engine); }
  double log_uniform(double low, double high) { return std::exp(uniform(std::log(low), std::log(high))); }
  std::int64_t integer(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(engine);
  }
  std::vector<double> losses(std::int64_t n, double largest) {
    std::vector<double> result;
    for (std::int64_t i = 0; i < n; ++i) result.push_back(largest * std::pow(uniform(0, 1), 3));
    return result;
  }
};

ExponentialWeightsOptions random_options(Random& random) {
  const double sign = random.integer(0, 1) ? 1 : -1;
  return {.lambda = sign * random.log_uniform(1e-3, 100),
          .gamma = random.integer(0, 4) ? random.uniform(0.01, 1) : 1.0,
          .alpha = random.integer(0, 1) ? random.uniform(0.05, 1) : 1.0,
          .start = static_cast<Start>(random.integer(0, 2)),
          .clip = random.integer(0, 1) ? std::optional<double>{} : random.uniform(0, 12)};
}

}  // namespace

TEST_CASE("(1) weights, u and clip agree with the plain formulas in long double", "[optim]") {
  Random random;
  long clipped = 0, compared = 0, changes = 0;
  for (int trial = 0; trial < 10000; ++trial) {
    const ExponentialWeightsOptions options = random_options(random);
    ExponentialWeights ours(options);
    BruteForce brute(options);
    const double largest = random.uniform(0.1, 10);
    const std::int64_t kind = random.integer(0, 2);  // no prior; a prior; a prior from the second batch on, which then changes
    INFO("trial " << trial << ", lambda " << options.lambda << ", gamma " << options.gamma << ", alpha " << options.alpha);
    for (int step = 0; step < 4; ++step) {
      const Numbers losses = random.losses(random.integer(1, 40), largest);
      const auto draw = [&] {
        Numbers q;
        for (std::size_t i = 0; i < losses.size(); ++i) q.push_back(random.integer(0, 9) ? random.log_uniform(0.01, 30) : 0);
        return q;
      };
      const Numbers ones(losses.size(), 1);
      Numbers q = ones, q_before;
      SampleInfo about;
      if (kind == 1 || (kind == 2 && step > 0)) about.prior = Tensor::from(q = draw());
      if (kind == 2 && step == 1) q_before = ones;
      if (kind == 2 && step > 1) about.prior_before = Tensor::from(q_before = draw());
      changes += !q_before.empty();
      const Numbers weights = ours.weigh(losses, about);
      const std::vector<long double> expected = brute.weigh(losses, q, q_before);
      if (std::none_of(q.begin(), q.end(), [](double v) { return v > 0; })) {
        REQUIRE(weights == Numbers(losses.size(), 0));
        break;
      }
      double worst = 0;
      for (std::size_t i = 0; i < losses.size(); ++i) {
        if (expected[i] < 1e-30L) {
          worst = std::max(worst, weights[i] > 2e-30 ? 1.0 : 0.0);
        } else {
          worst = std::max(worst, static_cast<double>(std::abs(weights[i] / expected[i] - 1)));
          ++compared;
        }
      }
      // Losses are given to 16 digits of z = loss / lambda, which is up to 1e4 here.
      REQUIRE(worst < 1e-9);
      REQUIRE(ours.log_u() == Approx(static_cast<double>(std::log(brute.average()))).epsilon(1e-11).margin(1e-11));
      REQUIRE(ours.clipped() == brute.clipped);
      clipped += brute.clipped;
    }
  }
  CHECK(clipped > 1000);
  CHECK(compared > 200000);
  CHECK(changes > 5000);
}

TEST_CASE("(1) weights are finite and bounded for losses up to 1e30 and lambda down to 1e-3", "[optim]") {
  Random random;
  for (int trial = 0; trial < 2000; ++trial) {
    ExponentialWeightsOptions options = random_options(random);
    options.lambda = std::copysign(random.log_uniform(1e-3, 1), options.lambda);
    ExponentialWeights ours(options);
    for (int step = 0; step < 8; ++step) {
      std::vector<double> losses = random.losses(random.integer(1, 20), 10);
      for (double& loss : losses)
        if (random.integer(0, 3) == 0) loss = random.log_uniform(1, 1e30);
      if (random.integer(0, 5) == 0) std::fill(losses.begin(), losses.end(), 1e30);
      SampleInfo about;
      if (trial % 3 == 0) {
        std::vector<double> prior;
        for (std::size_t i = 0; i < losses.size(); ++i) prior.push_back(random.log_uniform(1e-3, 1e3));
        about.prior = Tensor::from(prior);
      }
      if (trial % 4 == 0 && options.start != Start::official)
        ours.set_lambda(random.integer(0, 2) == 0 ? kInfinity : std::copysign(random.log_uniform(1e-3, 10), options.lambda));
      const std::vector<double> weights = ours.weigh(losses, about);
      const double largest = static_cast<double>(ours.state().at("batch_size").item());
      const double n = static_cast<double>(losses.size());
      const double gamma = options.start == Start::official ? options.gamma : 1 - std::pow(1 - options.gamma, n / largest);
      INFO("trial " << trial << ", step " << step << ", lambda " << options.lambda << ", gamma " << gamma);
      REQUIRE(std::isfinite(ours.log_u()));
      REQUIRE(std::isfinite(ours.objective()));
      // While lambda is infinite u is the average of q, without alpha.
      const double alpha = std::isinf(ours.lambda()) ? 1 : options.alpha;
      for (const double w : weights) REQUIRE((w >= 0 && w <= n / (gamma * alpha) * (1 + 1e-9)));
    }
  }
  ExponentialWeights extreme({.lambda = 1e-3});
  const double most = std::numeric_limits<double>::max();
  for (const double w : extreme.weigh(std::vector<double>{most, -most, 0, most})) CHECK((w >= 0 && w <= 4));
}

TEST_CASE("(2) gamma = 1 is a softmax over the batch and does not see a shift", "[optim]") {
  const std::vector<double> losses{0.3, 2.5, 0.1, 1.4}, shifted{10.3, 12.5, 10.1, 11.4};
  const std::optional<double> clip = GENERATE(as<std::optional<double>>{}, std::optional<double>{}, 5.0);
  for (const double lambda : {0.7, -0.7}) {
    double total = 0;
    for (const double loss : losses) total += std::exp(loss / lambda);
    ExponentialWeights batch({.lambda = lambda, .gamma = 1, .clip = clip}), average({.lambda = lambda, .gamma = 0.5});
    const std::vector<double> weights = batch.weigh(losses);
    for (std::size_t i = 0; i < 4; ++i) CHECK(weights[i] == Approx(4 * std::exp(losses[i] / lambda) / total));
    const std::vector<double> again = batch.weigh(shifted);
    for (std::size_t i = 0; i < 4; ++i) CHECK(again[i] == Approx(weights[i]));
    average.weigh(losses);
    CHECK(sum(average.weigh(shifted)) != Approx(4));
  }
}

TEST_CASE("(3) the sum of the weights at the first step, and how the start is forgotten", "[optim]") {
  const std::vector<double> losses{1, 2, 3, 4};
  const double gamma = 0.7, alpha = 0.5;
  CHECK(sum(ExponentialWeights({.gamma = gamma}).weigh(losses)) == Approx(4));
  CHECK(sum(ExponentialWeights({.gamma = gamma, .start = Start::first_batch}).weigh(losses)) == Approx(4));
  CHECK(sum(ExponentialWeights({.gamma = gamma, .alpha = alpha, .start = Start::official}).weigh(losses)) ==
        Approx(4 / (gamma * alpha)));

  // Constant losses: sum w / N = 1 / (alpha (1 - (1 - gamma)^t)) under the official start, 1 / alpha under the others.
  ExponentialWeights official({.gamma = gamma, .alpha = alpha, .start = Start::official});
  ExponentialWeights corrected({.gamma = gamma, .alpha = alpha});
  for (int t = 1; t <= 10; ++t) {
    CHECK(sum(official.weigh(std::vector<double>(4, 2.0))) / 4 == Approx(1 / (alpha * (1 - std::pow(1 - gamma, t)))));
    CHECK(sum(corrected.weigh(std::vector<double>(4, 2.0))) / 4 == Approx(1 / alpha));
  }
  CHECK(corrected.objective() == Approx(2));
}

TEST_CASE("(4) the weights are the gradient of F: finite differences in the losses", "[optim]") {
  const std::vector<double> losses{0.3, 2.5, 0.1, 1.4, 0.9};
  for (const double lambda : {0.5, 5.0, -2.0}) {
    const auto objective = [&](std::size_t i, double h) {
      std::vector<double> moved = losses;
      moved[i] += h;
      double total = 0;
      for (const double loss : moved) total += std::exp(loss / lambda) / 5;
      return lambda * std::log(total);
    };
    ExponentialWeights reduction({.lambda = lambda, .gamma = 1});
    const std::vector<double> weights = reduction.weigh(losses);
    CHECK(reduction.objective() == Approx(objective(0, 0)));
    for (std::size_t i = 0; i < 5; ++i)
      CHECK(weights[i] / 5 == Approx((objective(i, 1e-6) - objective(i, -1e-6)) / 2e-6).epsilon(1e-7));
  }
}

TEST_CASE("(4) one backward pass gives the gradient of F by the parameters of a network", "[optim]") {
  const Tensor x = random_normal({7, 3}, 0, 1, DType::f64, Device::cpu(), RandomKey{1});
  const Tensor labels = Tensor::from<std::int64_t>({0, 1, 2, 3, 0, 1, 2});
  const Tensor start = random_normal({4, 3}, 0, 1, DType::f64, Device::cpu(), RandomKey{2});
  for (const double lambda : {0.3, 5.0, -0.7}) {
    const auto losses_at = [&](const Variable& w) { return cross_entropy(matmul(x, transpose(w)), labels); };
    const auto objective = [&](const Tensor& w) {
      double total = 0;
      for (const double loss : losses_at(w).value().to_vector<double>()) total += std::exp(loss / lambda) / 7;
      return lambda * std::log(total);
    };
    const Variable w(start.clone(), true);
    ExponentialWeights reduction({.lambda = lambda, .gamma = 1});
    backward(reduction.reduce(losses_at(w)));
    const std::vector<double> gradient = w.grad().to_vector<double>(), at = start.to_vector<double>();
    for (std::size_t i = 0; i < at.size(); ++i) {
      const auto moved = [&](double h) {
        std::vector<double> values = at;
        values[i] += h;
        return objective(Tensor::from(values, {4, 3}));
      };
      CHECK(gradient[i] == Approx((moved(1e-5) - moved(-1e-5)) / 2e-5).epsilon(1e-7).margin(1e-9));
    }
  }
}

TEST_CASE("(5) min <= F(lambda < 0) <= mean <= F(lambda > 0) <= max, and the mean in the limit", "[optim]") {
  Random random;
  for (int trial = 0; trial < 200; ++trial) {
    const std::vector<double> losses = random.losses(32, 5);
    const auto objective = [&](double lambda) {
      ExponentialWeights reduction({.lambda = lambda, .gamma = 1, .clip = kInfinity});
      reduction.weigh(losses);
      return reduction.objective();
    };
    const double magnitude = random.log_uniform(1e-3, 100), mean = batch_mean(losses), slack = 1e-12;
    CHECK(objective(-magnitude) >= *std::min_element(losses.begin(), losses.end()) - slack);
    CHECK(objective(-magnitude) <= mean + slack);
    CHECK(objective(magnitude) >= mean - slack);
    CHECK(objective(magnitude) <= *std::max_element(losses.begin(), losses.end()) + slack);
    CHECK(objective(2 * magnitude) <= objective(magnitude) + slack);
    double variance = 0;
    for (const double loss : losses) variance += (loss - mean) * (loss - mean) / 32;
    CHECK(objective(1e4) == Approx(mean + variance / 2e4).epsilon(1e-7));
    CHECK(objective(kInfinity) == Approx(mean));
  }
}

TEST_CASE("(7) a batch of one and a ragged last batch are defined", "[optim]") {
  ExponentialWeights one({.lambda = 1, .gamma = 0.5});
  CHECK(one.weigh(std::vector<double>{2}) == std::vector<double>{1});
  // u = (1/3) e^2 + (2/3) e^3 after the bias correction
  CHECK(one.weigh(std::vector<double>{3})[0] == Approx(std::exp(3) / (std::exp(2) / 3 + 2 * std::exp(3) / 3)));

  // Two batches of half the size move the average as far as one whole batch of the same losses.
  ExponentialWeights whole({.lambda = 1, .gamma = 0.6, .start = Start::first_batch});
  ExponentialWeights halves({.lambda = 1, .gamma = 0.6, .start = Start::first_batch});
  const std::vector<double> before{1, 2, 1, 2}, after{3, 3, 3, 3}, half{3, 3};
  whole.weigh(before);
  halves.weigh(before);
  whole.weigh(after);
  halves.weigh(half);
  halves.weigh(half);
  CHECK(halves.log_u() == Approx(whole.log_u()).epsilon(1e-14));
}

TEST_CASE("u changes its unit with lambda so that the objective stays", "[optim]") {
  const std::vector<double> losses(8, 1.5);
  ExponentialWeights reduction({.lambda = 5, .alpha = 0.5});
  reduction.weigh(losses);
  for (const double lambda : {2.0, -1.0, kInfinity, 0.5, 0.5, kInfinity, -5.0}) {
    reduction.set_lambda(lambda);
    CHECK(reduction.objective() == Approx(1.5));
    CHECK(sum(reduction.weigh(losses)) == Approx(std::isinf(lambda) ? 8 : 16));  // alpha acts on u alone
  }
  // From the mean into a finite lambda: a = m / lambda + log alpha with m the moving mean loss.
  ExponentialWeights staged({.lambda = kInfinity, .gamma = 0.5, .alpha = 0.5, .start = Start::first_batch});
  staged.weigh(std::vector<double>{1, 3});
  staged.weigh(std::vector<double>{5, 7});
  CHECK(staged.moving_mean_loss() == Approx(4));
  CHECK(staged.weights() == std::vector<double>{1, 1});
  staged.set_lambda(2);
  CHECK(staged.log_u() == Approx(4 / 2.0 + std::log(0.5)));
  // The authors' u starts at 0 when their second stage does, and keeps its old unit.
  ExponentialWeights official({.lambda = kInfinity, .gamma = 0.5, .start = Start::official});
  official.weigh(losses);
  official.set_lambda(2);
  CHECK(sum(official.weigh(losses)) == Approx(16));
  const double log_u = official.log_u();
  official.set_lambda(1);
  CHECK(official.log_u() == log_u);
  CHECK(contains(message_of<ValueError>([&] { official.set_lambda(0); }), "lambda"));
  CHECK(official.lambda() == 1);
}

namespace {

// sum w / N over a run of ordinary batches in which one loss of one batch is replaced. Losses 0.1 ... 1.9.
template <class Weigh>
std::vector<double> run_with_outlier(Weigh&& weigh, int steps, int at, double outlier) {
  std::vector<double> gain;
  for (int step = 0; step < steps; ++step) {
    std::vector<double> losses;
    for (int i = 0; i < 128; ++i) losses.push_back(1 + 0.9 * std::sin(step * 128.0 + i));
    if (step == at) losses[17] = outlier;
    gain.push_back(sum(weigh(losses)) / 128);
  }
  return gain;
}

// The authors' arithmetic, float throughout.
struct AuthorsFloat {
  float lambda, gamma, u = 0;
  std::vector<double> operator()(const std::vector<double>& losses) {
    float mean = 0;
    for (const double loss : losses) mean += std::exp(static_cast<float>(loss) / lambda) / static_cast<float>(losses.size());
    u = (1 - gamma) * u + gamma * mean;
    std::vector<double> weights;
    for (const double loss : losses) weights.push_back(std::exp(static_cast<float>(loss) / lambda) / u);
    return weights;
  }
};

int steps_below(const std::vector<double>& gain, double level, int from) {
  return static_cast<int>(std::count_if(gain.begin() + from, gain.end(), [=](double g) { return !(g >= level); }));
}

}  // namespace

TEST_CASE("one outlier: the authors' floats end in NaN, log domain alone stalls, the clip goes on", "[optim]") {
  const int at = GENERATE(0, 50);  // in the first batch, and mid-run
  const int steps = 9000;
  INFO("outlier at step " << at);

  const std::vector<double> theirs = run_with_outlier(AuthorsFloat{0.5F, 0.9F}, steps, at, 1e4);
  CHECK(std::isnan(theirs[static_cast<std::size_t>(at)]));
  CHECK(theirs.back() == 0);  // u is infinite for ever

  const auto gain = [&](std::optional<double> clip, double gamma) {
    ExponentialWeights reduction({.lambda = 0.5, .gamma = gamma, .clip = clip});
    return run_with_outlier([&](const std::vector<double>& losses) { return reduction.weigh(losses); }, steps, at, 1e4);
  };
  const int stalled = steps_below(gain(kInfinity, 0.9), 0.5, at + 1);  // 20000 nats at 2.3 a step
  CHECK(stalled > 8600);
  CHECK(stalled < 8800);

  const std::vector<double> ours = gain({}, 0.9);
  CHECK(steps_below(ours, 0.5, at + 1) <= 3);
  for (const double g : ours) CHECK((g > 1e-3 && g < 1 / 0.9 + 1e-9));
  CHECK(ours.back() ==
        Approx(run_with_outlier([r = ExponentialWeights({.lambda = 0.5})](const auto& l) mutable { return r.weigh(l); }, steps,
                                -1, 0)
                   .back())
            .epsilon(1e-6));
  CHECK(steps_below(gain({}, 0.1), 0.5, at + 1) <= 40);

  // 1e30 at the smallest lambda, both signs.
  for (const double lambda : {1e-3, -1e-3}) {
    ExponentialWeights reduction({.lambda = lambda});
    const auto extreme =
        run_with_outlier([&](const std::vector<double>& losses) { return reduction.weigh(losses); }, 200, at, 1e30);
    ExponentialWeights calm({.lambda = lambda});
    const auto reference = run_with_outlier([&](const std::vector<double>& losses) { return calm.weigh(losses); }, 200, -1, 0);
    CHECK(extreme.back() == Approx(reference.back()).epsilon(1e-6));
  }
}

TEST_CASE("a state that is no running average is refused, and a clamped lambda is part of it", "[optim]") {
  ExponentialWeights reduction({.lambda = 2, .auto_lambda = AutoLambda{.kl = 100}});
  CHECK(reduction.objective() == 0);
  reduction.weigh(std::vector<double>{1, 2, 3, 4});
  REQUIRE(reduction.lambda_clamped());
  const std::map<std::string, Tensor> state = reduction.state();
  ExponentialWeights other({.lambda = 2, .auto_lambda = AutoLambda{.kl = 100}});
  other.load_state(state);
  CHECK(other.lambda_clamped());
  const std::pair<const char*, double> wrong[] = {
      {"log_u", std::nan("")},         {"log_u", kInfinity}, {"mass", -0.5}, {"mass", 2}, {"moving_mean_prior", 0},
      {"moving_mean_loss", kInfinity}, {"batch_size", -1}};
  for (const auto& [key, value] : wrong) {
    std::map<std::string, Tensor> broken = state;
    broken.at(key) = number(value);
    INFO(key << " = " << value);
    CHECK_THROWS_AS(other.load_state(broken), ValueError);
    CHECK(other.log_u() == reduction.log_u());
  }
}

TEST_CASE("the clip does not touch ordinary batches", "[optim]") {
  Random random;
  for (const double lambda : {20.0, 5.0, 2.0, 1.0, 0.5, -0.5, -2.0, -5.0}) {
    ExponentialWeights clipped({.lambda = lambda}), free({.lambda = lambda, .clip = kInfinity});
    for (int step = 0; step < 500; ++step) {
      // Cross entropies of a network in training on ten classes: all near log 10 at first, then most small and one in
      // twenty up to 6.
      const double trained = std::min(1.0, step / 300.0);
      std::vector<double> losses;
      for (int i = 0; i < 128; ++i) {
        const double late = random.uniform(0, 1) < 0.05 ? random.uniform(0, 6) : -0.2 * std::log(random.uniform(1e-6, 1));
        losses.push_back((1 - trained) * random.uniform(1.8, 2.8) + trained * late);
      }
      REQUIRE(clipped.weigh(losses) == free.weigh(losses));
      REQUIRE(clipped.clipped() == 0);
    }
    CHECK(clipped.restarts() == 0);
  }
}

TEST_CASE("an average of another era starts anew", "[optim]") {
  const std::vector<double> ordinary{0.5, 1, 2, 3}, broken(4, 1e30);
  for (const double lambda : {0.5, -0.5}) {
    ExponentialWeights reduction({.lambda = lambda}), fresh({.lambda = lambda});
    for (int step = 0; step < 3; ++step) reduction.weigh(broken);
    for (int step = 0; step < 100; ++step) {
      const double gain = sum(reduction.weigh(ordinary)) / 4;
      if (lambda < 0) CHECK(gain > 0.9);  // z above the level: clipped, so all alike, but never lost
      fresh.weigh(ordinary);
    }
    CHECK(reduction.restarts() == 1);
    CHECK(sum(reduction.weights()) == Approx(4));
    CHECK(reduction.log_u() == Approx(fresh.log_u()));
  }
  // Fewer in a row than the patience: the average waits.
  ExponentialWeights patient({.lambda = 0.5});
  for (int step = 0; step < 200; ++step)
    patient.weigh(step % ExponentialWeights::kPatience == 0 ? std::vector<double>{2, 2} : std::vector<double>{20, 20});
  CHECK(patient.restarts() == 0);
}
