#include "autograd/diagnostics.h"

#include <algorithm>

#include "core/check.h"

namespace heft {
namespace {

thread_local bool anomaly = false;
thread_local Profile* profile = nullptr;

OpProfile& row_of(std::vector<OpProfile>& rows, const char* op) {
  const auto found = std::find_if(rows.begin(), rows.end(), [op](const OpProfile& row) { return row.op == op; });
  return found != rows.end() ? *found : rows.emplace_back(OpProfile{.op = op});
}

}  // namespace

AnomalyMode::AnomalyMode() : previous_(anomaly) { anomaly = true; }
AnomalyMode::~AnomalyMode() { anomaly = previous_; }
bool anomaly_mode() { return anomaly; }

Profile::Profile() : last_(std::chrono::steady_clock::now()), previous_(profile) { profile = this; }
Profile::~Profile() { profile = previous_; }

bool profiling() { return profile != nullptr; }

void profile_forward(const char* op, std::size_t bytes) {
  const auto now = std::chrono::steady_clock::now();
  OpProfile& row = row_of(profile->rows_, op);
  ++row.calls;
  row.forward_seconds += std::chrono::duration<double>(now - profile->last_).count();
  row.bytes += bytes;
  profile->last_ = now;
}

void profile_backward(const char* op, double seconds) {
  row_of(profile->rows_, op).backward_seconds += seconds;
  profile->last_ = std::chrono::steady_clock::now();
}

std::vector<OpProfile> Profile::table() const {
  std::vector<OpProfile> rows = rows_;
  std::sort(rows.begin(), rows.end(), [](const OpProfile& a, const OpProfile& b) {
    return a.forward_seconds + a.backward_seconds > b.forward_seconds + b.backward_seconds;
  });
  return rows;
}

std::string Profile::str() const {
  std::string text = fmt::format("{:<20}{:>8}{:>14}{:>14}{:>12}\n", "op", "calls", "forward ms", "backward ms", "MiB");
  const auto line = [&text](const OpProfile& r) {
    text += fmt::format("{:<20}{:>8}{:>14.3f}{:>14.3f}{:>12.2f}\n", r.op, r.calls, 1e3 * r.forward_seconds,
                        1e3 * r.backward_seconds, static_cast<double>(r.bytes) / (1 << 20));
  };
  OpProfile total{.op = "total"};
  for (const OpProfile& row : table()) {
    line(row);
    total.calls += row.calls;
    total.forward_seconds += row.forward_seconds;
    total.backward_seconds += row.backward_seconds;
    total.bytes += row.bytes;
  }
  line(total);
  return text;
}

}  // namespace heft
