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
