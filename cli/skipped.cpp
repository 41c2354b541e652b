#include "cli/skipped.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "cli/output.h"
#include "train/printable.h"

namespace heft::cli {

void print_skipped(const std::vector<data::BrokenFile>& skipped) {
  constexpr std::size_t kNamed = 10;
  if (skipped.empty()) return;
  notes() << fmt::format("heft: {} {} skipped:\n", skipped.size(), skipped.size() == 1 ? "file is" : "files are");
  for (std::size_t i = 0; i < std::min(kNamed, skipped.size()); ++i)
    notes() << fmt::format("  {} {}\n", train::printable(skipped[i].name), train::printable(skipped[i].reason));
  if (skipped.size() > kNamed) notes() << "  ... (heft inspect data names them all)\n";
}

}  // namespace heft::cli
