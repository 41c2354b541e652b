// Progress: how far a long job is and when it will end, on stderr. A bar that redraws itself on a terminal; elsewhere (a
// file, a pipe, CI) whole lines at intervals, so that a log never fills with it.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>

namespace heft::train {

struct ProgressStyle {
  bool bar = false;    // else plain lines
  int width = 80;      // columns; a bar is never wider
  bool color = false;  // ANSI colours
};
// What suits a file descriptor: a bar of the terminal's width where it is a terminal (and TERM is not "dumb"), in colour
// unless NO_COLOR is set (https://no-color.org).
ProgressStyle style_of(int descriptor);

// "label  [#####.....]  50 %  00:12, 00:12 left  message", cut to the width: the message goes first, then the bar.
std::string progress_bar(const ProgressStyle& style, const std::string& label, double fraction, double seconds,
                         const std::string& message);
// "1:02:03", "02:03"
std::string clock_text(double seconds);

struct ProgressOptions {
  std::string label = {};
  std::ostream* out = nullptr;                // null: stderr
  std::optional<ProgressStyle> style = {};    // unset: style_of(stderr), asked again at every redraw
  double redraw_seconds = 0.1;                // a bar at most this often
  double line_seconds = 10;                   // a plain line at most this often
  std::function<double()> seconds = nullptr;  // a clock; null: the steady one
};

class Progress {
 public:
  // `total` steps in all, at least 1.
  explicit Progress(std::int64_t total, ProgressOptions options = {});
  // Wipes a bar that is still there.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `done` steps are done. Shows it if enough time has passed.
  void update(std::int64_t done, const std::string& message = {});
  void set_label(std::string label) { options_.label = std::move(label); }
  // A line of text that stays, above the bar.
  void print(const std::string& line);
  // Wipes the bar, so that something else can be printed.
  void clear();

 private:
  ProgressStyle style() const;
  std::ostream& out() const;
  double now() const;

  std::int64_t total_;
  ProgressOptions options_;
  double start_;
  double last_shown_;
  bool drawn_ = false;
};

}  // namespace heft::train
