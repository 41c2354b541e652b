#include "train/nearest_name.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"

namespace heft::train {
namespace {

constexpr std::size_t kMost = 100;  // letters that are looked at: a file may hold a name of a hundred thousand

// Levenshtein's distance, a row of its table at a time.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + (a[i] != b[j])});
      diagonal = above;
    }
  }
  return row.back();
}

std::string last_part(const std::string& name) { return name.substr(name.rfind('.') + 1); }  // npos + 1 is 0

}  // namespace

std::string nearest_name(const std::string& whole, const std::vector<std::string>& names) {
  check(!names.empty(), "nearest_name", "expected names to choose from; got none");
  const std::string name = whole.substr(0, kMost);
  const auto cost = [&name](const std::string& other) {
    return std::min(distance(name, other), 1 + distance(last_part(name), last_part(other)));
  };
  return *std::min_element(names.begin(), names.end(),
                           [&](const std::string& a, const std::string& b) { return cost(a) < cost(b); });
}

}  // namespace heft::train
