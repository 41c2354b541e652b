// Two ways to look inside a run: which operation made the first NaN, and where time and memory went.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace heft {

// While one lives, every operation of this thread checks its result, every pullback its gradient and every tangent its
// derivative: NumericError names the first operation that made a NaN or an infinity. Slow; for debugging.
class AnomalyMode {
 public:
  AnomalyMode();
  ~AnomalyMode();
  AnomalyMode(const AnomalyMode&) = delete;
  AnomalyMode& operator=(const AnomalyMode&) = delete;

 private:
  bool previous_;
};
bool anomaly_mode();

struct OpProfile {
  std::string op;
  std::uint64_t calls = 0;
  double forward_seconds = 0;   // from the end of the previous operation to the end of this one
  double backward_seconds = 0;  // in the pullbacks, and in the tangents of jvp()
  std::size_t bytes = 0;        // results, summed over calls
};

// While one lives, operations of this thread are timed. Work between two operations counts with the second.
class Profile {
 public:
  Profile();
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  // Most expensive first.
  std::vector<OpProfile> table() const;
  // The table as text, with a line for the total.
  std::string str() const;

 private:
  friend void profile_forward(const char* op, std::size_t bytes);
  friend void profile_backward(const char* op, double seconds);
  friend bool profiling();
  std::vector<OpProfile> rows_;
  std::chrono::steady_clock::time_point last_;
  Profile* previous_;
};

// For the engine.
bool profiling();
void profile_forward(const char* op, std::size_t bytes);
void profile_backward(const char* op, double seconds);

}  // namespace heft
