#include "optim/group_dro.h"

#include "core/error.h"
#include "core/ops.h"
#include "tests/catch_compat.h"
#include "tests/optim/best_response.h"

using namespace heft;
using namespace heft::optim;
using namespace heft::test;
using Absent = GroupDROOptions::Absent;

namespace {

using Groups = std::vector<std::int64_t>;

SampleInfo of(const Groups& groups, const Numbers& q = {}) {
  return {.prior = q.empty() ? Tensor{} : Tensor::from(q), .groups = Tensor::from(groups)};
}

// The mean losses of 3 groups under q, 0 for an absent one.
Numbers group_means(const Numbers& losses, const Groups& groups, const Numbers& q) {
  Numbers means(3), mass(3);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const auto g = static_cast<std::size_t>(groups[i]);
    means[g] += (q.empty() ? 1 : q[i]) * losses[i];
    mass[g] += q.empty() ? 1 : q[i];
  }
  for (std::size_t g = 0; g < 3; ++g) means[g] = mass[g] > 0 ? means[g] / mass[g] : 0;
  return means;
}

}  // namespace

TEST_CASE("group DRO: each step is the best response under KL to the p before, by brute force", "[optim][dro]") {
  for (const bool with_prior : {false, true})
    for (const double adjustment : {0.0, 1.5}) {
      const double eta = 0.4;
      GroupDRO reduction({.groups = 3, .eta = eta, .adjustment = adjustment, .group_sizes = {100, 9, 4}});
      Numbers p(3, 1.0 / 3);
      for (unsigned step = 0; step < 6; ++step) {
        const Groups groups{0, 1, 2, 0, 2, 2};
        const Numbers losses = random_numbers(6, 0, 4, step);
        const Numbers q = with_prior ? random_numbers(6, 0.1, 2, step + 50) : Numbers{};
        const Numbers means = group_means(losses, groups, q), before = p;
        Numbers adjusted = means;
        for (std::size_t g = 0; g < 3; ++g) adjusted[g] += adjustment / std::sqrt(Numbers{100, 9, 4}[g]);
        p = maximize(
            [&](const Numbers& x) {
              double kl = 0;
              for (std::size_t g = 0; g < 3; ++g) kl += x[g] > 0 ? x[g] * std::log(x[g] / before[g]) : 0;
              return dot(x, adjusted) - kl / eta;
            },
            before, Numbers(3, 1));
        const Numbers weights = reduction.weigh(losses, of(groups, q));
        INFO("step " << step << ", prior " << with_prior << ", adjustment " << adjustment);
        Numbers share(3);
        for (std::size_t i = 0; i < 6; ++i) share[static_cast<std::size_t>(groups[i])] += weights[i] / 6;
        for (std::size_t g = 0; g < 3; ++g) {
          CHECK(share[g] == Approx(p[g]).margin(1e-6));
          CHECK(reduction.shares()[g] == Approx(share[g]));
          CHECK(reduction.last_losses()[g] == Approx(means[g]));
        }
        CHECK(weights[0] * (with_prior ? q[3] : 1) == Approx(weights[3] * (with_prior ? q[0] : 1)));
        CHECK(reduction.objective() == Approx(dot(share, means)));
        CHECK(reduction.present_share() == Approx(1));
      }
    }
}

TEST_CASE("group DRO: by hand, and what it reports", "[optim][dro]") {
  GroupDRO reduction({.groups = 2, .eta = std::log(3.0)});
  check_close(reduction.weigh(Numbers{1, 1, 2, 2}, of({0, 0, 1, 1})), {0.5, 0.5, 1.5, 1.5});
  bool found = false;
  for (const auto& [name, value] : reduction.diagnostics())
    if (name == "largest_share_group") found = value == 1;
  CHECK(found);
  GroupDRO still({.groups = 2, .eta = 0});  // a group of one weighs as much as one of three
  check_close(still.weigh(Numbers{9, 1, 1, 1}, of({0, 1, 1, 1})), {2, 2.0 / 3, 2.0 / 3, 2.0 / 3});
}

TEST_CASE("group DRO: an absent group leaves its p unused, and counts as 0 or as last seen", "[optim][dro]") {
  const double eta = std::log(2.0);
  GroupDRO zero({.groups = 3, .eta = eta}), last({.groups = 3, .eta = eta, .absent = Absent::last_seen});
  const Numbers first{2, 0, 0};  // p = (4, 1, 1) / 6
  zero.weigh(first, of({0, 1, 2}));
  last.weigh(first, of({0, 1, 2}));
  CHECK(zero.shares()[0] == Approx(4.0 / 6));
  const Numbers second{1, 1};  // of groups 1 and 2: (4, 2, 2) / 8, or (16, 2, 2) / 20
  CHECK(zero.weigh(second, of({1, 2}))[0] == Approx(2 * 2.0 / 8));
  CHECK(zero.present_share() == Approx(0.5));
  CHECK(zero.objective() == Approx(0.5));
  CHECK(last.weigh(second, of({1, 2}))[0] == Approx(2 * 2.0 / 20));
  CHECK(last.last_losses() == Numbers{2, 1, 1});
  // A group all of whose samples have prior 0 is absent, a batch of such groups changes nothing.
  const Numbers before = zero.shares();
  CHECK(zero.weigh(second, of({1, 2}, {0, 0})) == Numbers{0, 0});
  CHECK(zero.shares() == before);
  CHECK(last.weigh(second, of({0, 1}, {0, 1}))[0] == 0);
  CHECK(last.last_losses()[0] == 2);
}

TEST_CASE("group DRO: with the paper's rule a group that is rarely drawn fades though its loss is the highest",
          "[optim][dro]") {
  GroupDRO zero({.groups = 2, .eta = 0.1}), last({.groups = 2, .eta = 0.1, .absent = Absent::last_seen});
  for (int step = 0; step < 200; ++step) {
    const std::int64_t second = step % 20 == 0;  // one batch in twenty has a sample of group 1
    const Numbers losses{1, second ? 3.0 : 1.0};
    zero.weigh(losses, of({0, second}));
    last.weigh(losses, of({0, second}));
  }
  CHECK(zero.shares()[1] < 1e-6);
  CHECK(last.shares()[1] > 0.999);
}

TEST_CASE("group DRO: state continues bit for bit", "[optim][dro]") {
  const GroupDROOptions options{.groups = 3, .eta = 0.3, .absent = Absent::last_seen};
  GroupDRO whole(options), restored(options);
  for (unsigned step = 0; step < 4; ++step) whole.weigh(random_numbers(3, 0, 2, step), of({0, 1, 2}));
  restored.load_state(whole.state());
  for (unsigned step = 4; step < 8; ++step) {
    const Numbers losses = random_numbers(3, 0, 2, step);
    CHECK(restored.weigh(losses, of({0, 1, 1})) == whole.weigh(losses, of({0, 1, 1})));
  }
  auto state = whole.state();
  GroupDRO other({.groups = 2});
  CHECK(contains(message_of<ShapeError>([&] { other.load_state(state); }), "[group_dro] expected shape (2,) for 'log_shares'"));
  state.erase("last_losses");
  CHECK(contains(message_of<ValueError>([&] { restored.load_state(state); }), "'last_losses' in the state; it is missing"));
}

TEST_CASE("group DRO: groups and options are checked by name", "[optim][dro]") {
  GroupDRO reduction({.groups = 3});
  const Numbers losses{1, 2, 3};
  CHECK(message_of<ValueError>([&] { reduction.weigh(losses); }) ==
        "[group_dro] expected a group per loss (SampleInfo::groups); got none for 3 losses");
  CHECK(message_of<ValueError>([&] {
          reduction.weigh(losses, of({0, 2, 3}));
        }) == "[group_dro] expected groups in [0, 3); got 3 at sample 2 of 3");
  CHECK(message_of<ValueError>([&] {
          reduction.weigh(losses, of({0, -1, 3}));
        }) == "[group_dro] expected groups in [0, 3); got -1 at sample 1 of 3");
  CHECK(contains(message_of<ShapeError>([&] { reduction.weigh(losses, of({0, 1})); }), "groups of shape (3,); got (2,)"));
  CHECK(reduction.weights().empty());
  const auto make = [](const GroupDROOptions& options) { return [options] { GroupDRO{options}; }; };
  CHECK(message_of<ValueError>(make({})) == "[group_dro] expected at least 1 group; got 0");
  CHECK(contains(message_of<ValueError>(make({.groups = 2, .eta = -1})), "eta of at least 0; got -1"));
  CHECK(contains(message_of<ValueError>(make({.groups = 2, .adjustment = -1})), "adjustment in [0, 1e6]; got -1"));
  CHECK(contains(message_of<ValueError>(make({.groups = 2, .adjustment = 1})), "group_sizes of 2 groups"));
  CHECK(contains(message_of<ValueError>(make({.groups = 2, .group_sizes = {1, 2, 3}})), "got 3"));
  CHECK(contains(message_of<ValueError>(make({.groups = 2, .group_sizes = {1, 0}})), "at least 1; got 0 for group 1"));
}
