#include "optim/schedule.h"

#include <cmath>

#include "core/error.h"
#include "tests/catch_compat.h"

using namespace heft;
using namespace heft::optim;
using heft::test::contains;
using heft::test::message_of;

TEST_CASE("learning rate schedules give the values worked out by hand", "[optim]") {
  const Schedule every = step_decay(10, 0.5);
  CHECK(every(0) == 1.0);
  CHECK(every(9.99) == 1.0);
  CHECK(every(10) == 0.5);
  CHECK(every(35) == 0.125);

  const Schedule at = multi_step({160, 180}, 0.01);
  CHECK(at(159) == 1.0);
  CHECK(at(160) == Approx(0.01));
  CHECK(at(200) == Approx(1e-4));

  const Schedule half = cosine(100, 0.2);
  CHECK(half(0) == Approx(1));
  CHECK(half(50) == Approx(0.6));
  CHECK(half(100) == Approx(0.2));
  CHECK(half(150) == Approx(0.2));
  CHECK(cosine(4)(1) == Approx((1 + std::sqrt(0.5)) / 2));

  const Schedule warm = warm_up(5, multi_step({3, 7}, 0.1));
  CHECK(warm(0) == Approx(0.2));
  CHECK(warm(2) == Approx(0.6));
  CHECK(warm(4) == Approx(0.1));
  CHECK(warm(6) == Approx(0.1));
  CHECK(warm(7) == Approx(0.01));

  const Schedule cycle = one_cycle(100, {.peak_at = 0.25, .start = 0.1, .end = 0.01});
  CHECK(cycle(0) == Approx(0.1));
  CHECK(cycle(12.5) == Approx(0.55));
  CHECK(cycle(25) == Approx(1));
  CHECK(cycle(62.5) == Approx(0.505));
  CHECK(cycle(100) == Approx(0.01));
  CHECK(cycle(101) == Approx(0.01));
}

TEST_CASE("lambda is the mean until its start epoch", "[optim]") {
  const Schedule lambda = from(160, -2.0);
  CHECK(std::isinf(lambda(0)));
  CHECK(std::isinf(lambda(159)));
  CHECK(lambda(160) == -2.0);
  CHECK(from(0, 5.0)(0) == 5.0);
  CHECK(from(3, 1.0, 20.0)(2) == 20.0);
}

TEST_CASE("schedules refuse times and factors that make no sense", "[optim]") {
  CHECK(contains(message_of<ValueError>([] { step_decay(0); }), "[step_decay] expected a period above 0; got 0"));
  CHECK(contains(message_of<ValueError>([] { step_decay(1, -1); }), "a factor"));
  CHECK(contains(message_of<ValueError>([] { multi_step({2, 1}); }), "ascending"));
  CHECK(contains(message_of<ValueError>([] { cosine(-5); }), "a total"));
  CHECK(contains(message_of<ValueError>([] { warm_up(5, nullptr); }), "[warm_up]"));
  CHECK(contains(message_of<ValueError>([] { one_cycle(10, {.peak_at = 1}); }), "peak_at"));
  CHECK(contains(message_of<ValueError>([] { from(-1, 5); }), "[from]"));
}

TEST_CASE("lambda comes in along a line or a cosine in 1 / lambda, or by steps", "[optim]") {
  const Schedule line = lambda_linear(2, 6, -2), curve = lambda_cosine(2, 6, 4), steps = lambda_steps({{1, 10}, {3, 2}});
  for (const Schedule& schedule : {line, curve}) {
    CHECK(std::isinf(schedule(0)));
    CHECK(schedule(2) > 1e300);
  }
  CHECK(1 / line(3) == Approx(-0.125));
  CHECK(1 / line(5) == Approx(-0.375));
  CHECK(line(6) == -2);
  CHECK(line(60) == -2);
  CHECK(1 / curve(4) == Approx(0.125));
  CHECK(1 / curve(3) == Approx(0.25 * (1 - std::cos(std::acos(-1.0) / 4)) / 2));
  CHECK(curve(6) == 4);
  CHECK(std::isinf(steps(0.5)));
  CHECK(steps(1) == 10);
  CHECK(steps(2.9) == 10);
  CHECK(steps(100) == 2);
  CHECK(contains(message_of<ValueError>([] { lambda_linear(3, 3, 1); }), "begin < end; got 3 and 3"));
  CHECK(contains(message_of<ValueError>([] { lambda_cosine(0, 3, 0); }), "0.001"));
  CHECK(contains(message_of<ValueError>([] { lambda_steps({{3, 1}, {2, 1}}); }), "ascending"));
}
