// The fused functions of core/backend.h as they are composed of primitives, which is what a backend without its own has.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/backend.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "tests/catch_compat.h"
#include "tests/core/numbers.h"

using namespace heft;
using namespace heft::test;

TEST_CASE("parameters updated together are those updated one by one", "[core][backend]") {
  Backend& backend = reference_backend();
  const SgdStep step{.momentum = 0.9, .dampening = 0.2};
  const Tensor factors = Tensor::from(std::vector<double>{0.5, 0.1, 0.01, 0});  // scale, two groups, failures
  std::vector<SgdTarget> together;
  std::vector<Tensor> alone;
  for (std::uint64_t i = 0; i < 3; ++i) {
    const Tensor p = normal({4, 3}, i), g = normal({4, 3}, 10 + i), v = normal({4, 3}, 20 + i);
    const std::int64_t group = i == 1 ? 1 : 0;
    together.push_back({p.clone(), g, v.clone(), 0.01, group, i == 2});
    Tensor parameter = p.clone(), velocity = v.clone();
    SgdStep one = step;
    one.lr = group == 1 ? 0.01 : 0.1, one.weight_decay = 0.01, one.first = i == 2;
    backend.sgd_step(parameter, g * 0.5, velocity, one);
    alone.push_back(parameter);
  }
  const std::vector<double> before = together[0].parameter.to_vector<double>();
  const Tensor held = Tensor::from(std::vector<std::int64_t>{1});
  backend.sgd_steps(together, step, factors, held);
  CHECK(together[0].parameter.to_vector<double>() == before);
  backend.sgd_steps(together, step, Tensor::from(std::vector<double>{0, 0.1, 0.01, 0}), {});
  CHECK(together[0].parameter.to_vector<double>() == before);
  backend.sgd_steps(together, step, factors, Tensor::from(std::vector<std::int64_t>{0}));
  for (std::size_t i = 0; i < 3; ++i) check_close(together[i].parameter, alone[i], 1e-15);
}

TEST_CASE("Adam's parameters updated together are those updated one by one, each with a count of its own", "[core][backend]") {
  Backend& backend = reference_backend();
  const AdamStep step{.beta1 = 0.8, .beta2 = 0.9, .eps = 1e-6, .decoupled = true};
  const Tensor factors = Tensor::from(std::vector<double>{0.5, 0.1, 0.01, 0});  // scale, two groups, failures
  Tensor counts = Tensor::from(std::vector<double>{0, 7, 40, 3});
  std::vector<AdamTarget> together;
  std::vector<Tensor> alone, moments;
  for (const std::int64_t number : {3, 0, 1}) {  // 2 has no gradient
    const auto seed = static_cast<std::uint64_t>(number);
    const Tensor p = normal({4, 3}, seed), g = normal({4, 3}, 10 + seed), m = normal({4, 3}, 20 + seed), v = p * p;
    const std::int64_t group = number == 1 ? 1 : 0;
    together.push_back({p.clone(), g, m.clone(), v.clone(), 0.01, group, number});
    Tensor parameter = p.clone(), first = m.clone(), second = v.clone();
    AdamStep one = step;
    one.lr = group == 1 ? 0.01 : 0.1, one.weight_decay = 0.01;
    one.step = counts.select(0, number).item<std::int64_t>() + 2;
    backend.adam_step(parameter, g * 0.5, first, second, one);
    alone.push_back(parameter);
    moments.push_back(second);
  }
  const std::vector<double> before = together[0].parameter.to_vector<double>();
  backend.adam_steps(together, step, factors, counts, Tensor::from(std::vector<std::int64_t>{1}));  // held, and counted
  CHECK(together[0].parameter.to_vector<double>() == before);
  CHECK(counts.to_vector<double>() == std::vector<double>{1, 8, 40, 4});
  backend.adam_steps(together, step, factors, counts, {});
  CHECK(counts.to_vector<double>() == std::vector<double>{2, 9, 40, 5});
  for (std::size_t i = 0; i < 3; ++i) {
    check_close(together[i].parameter, alone[i], 1e-15);
    check_close(together[i].second_moment, moments[i], 1e-15);
  }
}

// On a CPU it is one loop over all elements, which threads cut where they will.
TEST_CASE("parameters of many sizes updated together are those updated one by one, to the last bit", "[core][backend]") {
  Backend& backend = backend_for(Tensor::zeros({1}));
  const int threads = num_threads();
  for (const int n : {1, 2, 3})
    for (const double momentum : {0.0, 0.9})
      for (const bool nesterov : {false, true}) {
        if (nesterov && momentum == 0) continue;
        INFO(n << " threads, momentum " << momentum << (nesterov ? ", nesterov" : ""));
        set_num_threads(n);
        const SgdStep step{.momentum = momentum, .nesterov = nesterov};
        std::vector<SgdTarget> together;
        std::vector<Tensor> alone, velocities;
        std::uint64_t seed = 0;
        for (const std::int64_t size : {1, 0, 70001, 3, 40000, 7, 90000}) {
          const DType dtype = size == 3 || size == 40000 ? DType::f64 : DType::f32;
          const Tensor p = normal({size}, ++seed, dtype), g = normal({size}, ++seed, dtype), v = normal({size}, ++seed, dtype);
          const bool first = size == 7;
          together.push_back({p.clone(), g, momentum > 0 ? v.clone() : Tensor{}, 0.01, size % 2, first});
          Tensor parameter = p.clone(), velocity = momentum > 0 ? v.clone() : Tensor{};
          SgdStep one = step;
          one.lr = size % 2 == 1 ? 0.01 : 0.1, one.weight_decay = 0.01, one.first = first;
          backend.sgd_step(parameter, g, velocity, one);
          alone.push_back(parameter), velocities.push_back(velocity);
        }
        backend.sgd_steps(together, step, Tensor::from(std::vector<double>{1, 0.1, 0.01}), {});
        for (std::size_t i = 0; i < alone.size(); ++i) {
          check_close(together[i].parameter, alone[i], 0);
          if (momentum > 0) check_close(together[i].velocity, velocities[i], 0);
        }
        // A factor on the gradients.
        std::vector<SgdTarget> halved = together;
        for (SgdTarget& target : halved) {
          target.parameter = target.parameter.clone(), target.gradient = target.gradient * 2.0;
          if (momentum > 0) target.velocity = target.velocity.clone();
        }
        backend.sgd_steps(together, step, Tensor::from(std::vector<double>{1, 0.1, 0.01}), {});
        backend.sgd_steps(halved, step, Tensor::from(std::vector<double>{0.5, 0.1, 0.01}), {});
        for (std::size_t i = 0; i < halved.size(); ++i) check_close(halved[i].parameter, together[i].parameter, 0);
      }
  set_num_threads(threads);
}

TEST_CASE("the factor that clips, and one gradient that is not finite stops all that follow", "[core][backend]") {
  Backend& backend = reference_backend();
  const Tensor three = Tensor::from(std::vector<double>{3}), four = Tensor::from(std::vector<double>{0, 4});
  Tensor factors = Tensor::from(std::vector<double>{1, 0.1, 0});
  const auto after = [&](const std::vector<Tensor>& gradients, double largest, double scale) {
    backend.clip_factor(gradients, largest, scale, factors);
    return factors.to_vector<double>();
  };
  CHECK(after({three, four}, 10, 0.5) == std::vector<double>{0.5, 0.1, 0});
  CHECK(after({three, four}, 1, 0.5) == std::vector<double>{0.2, 0.1, 0});
  const Tensor bad = Tensor::from(std::vector<double>{std::numeric_limits<double>::infinity()});
  CHECK(after({three, bad}, 1, 1) == std::vector<double>{0, 0.1, 1});
  CHECK(after({three, four}, 10, 1) == std::vector<double>{0, 0.1, 1});
}
