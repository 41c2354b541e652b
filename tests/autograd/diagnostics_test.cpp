#include "autograd/diagnostics.h"

#include <algorithm>

#include "autograd/elementwise.h"
#include "autograd/reduce.h"
#include "core/error.h"
#include "core/ops.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;

TEST_CASE("AnomalyMode names the first operation that made a NaN", "[autograd][diagnostics]") {
  const Variable x(Tensor::from<float>({-1, 1}), true);
  CHECK_NOTHROW(sum(exp(log(x)) * 2.0));
  const AnomalyMode anomaly_mode;
  CHECK(message_of<NumericError>([&] { sum(exp(log(x)) * 2.0); }) ==
        "[log] expected finite results; this operation made the first NaN or infinity, in shape (2,)");
}

TEST_CASE("AnomalyMode names the pullback that made a NaN where the results are finite", "[autograd][diagnostics]") {
  const Variable x(Tensor::from<float>({0, 1}), true);
  const Variable y = sum(sqrt(x) * 0.0);
  {
    const AnomalyMode anomaly_mode;
    CHECK(message_of<NumericError>([&] { backward(y); }) ==
          "[sqrt] expected finite gradients; this operation's pullback made the first NaN or infinity, in shape (2,)");
  }
  CHECK_FALSE(anomaly_mode());
}

TEST_CASE("Profile lists operations with calls, time and memory", "[autograd][diagnostics]") {
  const Variable x(Tensor::ones({256, 256}), true);
  Profile profile;
  backward(sum(exp(x) + exp(x)));
  const std::vector<OpProfile> rows = profile.table();
  const auto row = [&](const std::string& op) {
    const auto found = std::find_if(rows.begin(), rows.end(), [&](const OpProfile& r) { return r.op == op; });
    REQUIRE(found != rows.end());
    return *found;
  };
  CHECK(rows.size() == 3);
  CHECK(row("exp").calls == 2);
  CHECK(row("exp").bytes == 2 * 256 * 256 * sizeof(float));
  CHECK(row("exp").forward_seconds > 0);
  CHECK(row("exp").backward_seconds > 0);
  CHECK(row("add").calls == 1);
  CHECK(row("sum").bytes == sizeof(float));
  for (std::size_t i = 1; i < rows.size(); ++i)
    CHECK(rows[i - 1].forward_seconds + rows[i - 1].backward_seconds >= rows[i].forward_seconds + rows[i].backward_seconds);
  const std::string text = profile.str();
  CHECK(contains(text, "forward ms"));
  CHECK(contains(text, "exp "));
  CHECK(contains(text, "total"));
}

TEST_CASE("Without a Profile nothing is timed; the innermost one counts", "[autograd][diagnostics]") {
  const Variable x(Tensor::ones({4}), true);
  CHECK_FALSE(profiling());
  Profile outer;
  {
    Profile inner;
    exp(x);
    CHECK(inner.table().size() == 1);
  }
  CHECK(outer.table().empty());
  exp(x);
  CHECK(outer.table().size() == 1);
}
