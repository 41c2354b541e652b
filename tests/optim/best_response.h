// The best response of an adversary by brute force: what the robust reductions are tested against.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "tests/catch_compat.h"

namespace heft::test {

using Numbers = std::vector<double>;

inline Numbers random_numbers(std::size_t n, double low, double high, unsigned seed) {
  std::mt19937_64 engine(seed);
  std::uniform_real_distribution<double> draw(low, high);
  Numbers all;
  for (std::size_t i = 0; i < n; ++i) all.push_back(draw(engine));
  return all;
}

inline double dot(const Numbers& a, const Numbers& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) total += a[i] * b[i];
  return total;
}

inline void check_close(const Numbers& got, const Numbers& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(want[i]).margin(1e-12));
}

// q / sum q; uniform where q is empty.
inline Numbers normalized(const Numbers& q, std::size_t n) {
  Numbers p = q.empty() ? Numbers(n, 1) : q;
  const double total = dot(p, Numbers(n, 1));
  for (double& v : p) v /= total;
  return p;
}

// Maximises a concave objective over sum p = 1, 0 <= p <= caps from a feasible start: mass goes back and forth between every
// two entries, as much as a ternary search finds best, until nothing is left to win.
inline Numbers maximize(const std::function<double(const Numbers&)>& objective, Numbers p, const Numbers& caps) {
  for (int sweep = 0; sweep < 300; ++sweep) {
    const Numbers before = p;
    for (std::size_t i = 0; i < p.size(); ++i)
      for (std::size_t j = 0; j < i; ++j) {
        const double both = p[i] + p[j];
        double low = std::max(0.0, both - caps[j]), high = std::min(both, caps[i]);
        const auto at = [&](double x) {
          p[i] = x;
          p[j] = both - x;
          return objective(p);
        };
        for (int step = 0; step < 70; ++step) {
          const double a = low + (high - low) / 3, b = high - (high - low) / 3;
          (at(a) < at(b) ? low : high) = at(a) < at(b) ? a : b;
        }
        at((low + high) / 2);
      }
    double moved = 0;
    for (std::size_t i = 0; i < p.size(); ++i) moved = std::max(moved, std::abs(p[i] - before[i]));
    if (moved < 1e-10) break;
  }
  return p;
}

}  // namespace heft::test
