// The exponential weights of a batch, by one thread and by a block of a GPU's.
#include "core/tilt.h"

#include <cstring>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/random.h"
#include "cuda/cuda.h"
#include "tests/catch_compat.h"
#include "tests/core/numbers.h"

using namespace heft;
using namespace heft::test;

namespace {

Tensor bytes_of(const tilt::State& state) {
  Tensor bytes = Tensor::empty({sizeof(tilt::State)}, DType::u8);
  std::memcpy(bytes.mutable_raw(), &state, sizeof state);
  return bytes;
}
tilt::State state_in(const Tensor& bytes) {
  const Tensor host = bytes.to(Device::cpu());
  tilt::State state;
  std::memcpy(&state, host.raw(), sizeof state);
  return state;
}

tilt::State fresh(double lambda) {
  tilt::State state;
  state.average.lambda = lambda;
  return state;
}

void check_near(double got, double want) {
  if (got == want || (std::isnan(got) && std::isnan(want))) return;
  CHECK(got == Approx(want).epsilon(1e-10).margin(1e-12));
}

void check_same(const tilt::State& got, const tilt::State& want) {
  CHECK(got.bad_sample == want.bad_sample);
  CHECK(got.bad_prior == want.bad_prior);
  CHECK(got.clamped == want.clamped);
  CHECK(got.steps == want.steps);
  CHECK(got.clamped_steps == want.clamped_steps);
  CHECK(got.pool.clipped == want.pool.clipped);
  CHECK(got.average.far_batches == want.average.far_batches);
  CHECK(got.average.restarts == want.average.restarts);
  CHECK(got.average.batch_size == want.average.batch_size);
  check_near(got.average.lambda, want.average.lambda);
  check_near(got.average.log_u, want.average.log_u);
  check_near(got.average.mass, want.average.mass);
  check_near(got.average.mean_prior, want.average.mean_prior);
  check_near(got.average.mean_loss, want.average.mean_loss);
  CHECK(std::abs(got.effective_share - want.effective_share) <= want.steps);  // rounded differently in each step
}

struct Case {
  std::string name;
  tilt::Options options;
  double lambda = 5;
  bool prior = false, priors_change = false;
};

std::vector<Case> cases() {
  using tilt::Start;
  using tilt::Target;
  return {{"mean", {.mean = true}, 5, true},
          {"lambda 5", {.clip = 5}},
          {"lambda 0.05", {.clip = 5, .min_share = 0.5}, 0.05},
          {"lambda -1 with a prior", {.clip = 5}, -1, true},
          {"a prior that changes", {.clip = 5}, 2, true, true},
          {"infinite", {.clip = 5}, tilt::kInfinity, true},
          {"official", {.gamma = 0.7, .alpha = 0.5, .start = Start::official}, 0.5},
          {"first batch", {.gamma = 0.4, .clip = 1, .start = Start::first_batch}, 0.3},
          {"a share", {.gamma = 1, .solve = Target::effective_share, .target = 0.4}, 5},
          {"a divergence", {.gamma = 1, .solve = Target::kl, .target = 0.3}, -5},
          {"a dual step", {.clip = 5, .target = 0.2, .dual_rate = 0.5}, 3}};
}

}  // namespace

TEST_CASE("what a step adds to the sums over all steps does not depend on them", "[optim]") {
  tilt::State fresh_sums = fresh(0.3), old_sums = fresh_sums;
  old_sums.effective_share = static_cast<std::int64_t>(12345.678 * tilt::kShareUnits);
  const tilt::State began = old_sums;
  RandomSequence random({.seed = 8});
  std::vector<double> losses(16), weights(16), scratch(16);
  for (int step = 0; step < 100; ++step) {
    for (double& loss : losses) loss = random.uniform();
    for (tilt::State* state : {&fresh_sums, &old_sums})
      tilt::step(tilt::OneThread{}, {}, {.n = 16, .losses = losses.data()}, *state, true, weights.data(), scratch.data());
    REQUIRE(old_sums.effective_share - began.effective_share == fresh_sums.effective_share);
  }
  const double share = static_cast<double>(fresh_sums.effective_share) / tilt::kShareUnits;
  CHECK((share > 50 && share < 99));
}

TEST_CASE("exponential weights on a GPU are the CPU's, step by step", "[optim][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("exponential weights on a GPU: " + cuda::why_unavailable());
  Backend& gpu = backend_for(Device::cuda(), DType::f32);
  for (const Case& c : cases())
    for (const DType dtype : {DType::f32, DType::f64}) {
      tilt::State start = fresh(c.lambda);
      Tensor here = bytes_of(start), there = bytes_of(start).to(Device::cuda());
      for (std::uint64_t step = 0; step < 12; ++step) {
        const std::int64_t n = step == 4 ? 1 : step == 7 ? 37 : step == 9 ? 700 : 128;
        INFO(c.name << " in " << name(dtype) << ", step " << step);
        Tensor losses = random_uniform({n}, 0, 4, dtype, Device::cpu(), {17, step});
        if (step == 5) losses = Tensor::full({n}, 1.5, dtype);  // all equal
        if (step == 6) losses.slice(0, 3, 4).fill_(400);        // one outlier
        const auto prior = [&](std::uint64_t stream) {
          return c.prior ? random_uniform({n}, 0, 2, DType::f64, Device::cpu(), {stream, step}) : Tensor{};
        };
        const Tensor q = prior(18), before = c.priors_change && step == 8 ? prior(19) : Tensor{};
        const auto on_gpu = [](const Tensor& x) { return x.defined() ? x.to(Device::cuda()) : x; };
        const TiltResult want = reference_backend().tilt(losses, q, before, c.options, here, true);
        const TiltResult got = gpu.tilt(on_gpu(losses), on_gpu(q), on_gpu(before), c.options, there, true);
        check_same(state_in(there), state_in(here));
        check_close(got.weights.to(Device::cpu()), want.weights, 1e-9);
        check_close(got.seed.to(Device::cpu()), want.seed, 1e-6);
        check_close(got.value.to(Device::cpu()), want.value, 1e-6);
      }
    }
}

TEST_CASE("without update a state stays, and a bad sample is named", "[optim][cuda]") {
  std::vector<Device> devices{Device::cpu()};
  if (cuda::is_available()) devices.push_back(Device::cuda());
  for (const Device device : devices) {
    INFO(device.str());
    Tensor state = bytes_of(fresh(2)).to(device);
    Backend& backend = backend_for(device, DType::f32);
    const Tensor losses = Tensor::from(std::vector<float>{1, 2, 3}).to(device);
    backend.tilt(losses, {}, {}, {.clip = 5}, state, false);
    CHECK(state_in(state).steps == 0);
    CHECK(state_in(state).average.mass == 0);
    const Tensor bad = Tensor::from(std::vector<float>{1, std::numeric_limits<float>::infinity(), NAN}).to(device);
    const TiltResult result = backend.tilt(bad, {}, {}, {.clip = 5}, state, true);
    CHECK(state_in(state).bad_sample == 2);
    CHECK(std::isnan(result.value.item()));
    CHECK(result.seed.to_vector<double>() == std::vector<double>{0, 0, 0});
    // From then on nothing moves.
    CHECK(backend.tilt(losses, {}, {}, {.clip = 5}, state, true).weights.to_vector<double>() == std::vector<double>{0, 0, 0});
    state = bytes_of(fresh(2)).to(device);
    const Tensor prior = Tensor::from(std::vector<double>{1, 1, -1}).to(device);
    backend.tilt(losses, prior, {}, {.clip = 5}, state, true);
    CHECK(state_in(state).bad_sample == 3);
    CHECK(state_in(state).bad_prior);
  }
}
