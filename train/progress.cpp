#include "train/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "core/check.h"

namespace heft::train {
namespace {

constexpr const char* kWipe = "\r\033[K";

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

// Cuts between characters, not within one of several bytes.
std::string cut(const std::string& text, std::size_t columns) {
  std::size_t bytes = 0, shown = 0;
  while (bytes < text.size()) {
    const bool starts = (static_cast<unsigned char>(text[bytes]) & 0xc0) != 0x80;
    if (starts && shown++ == columns) break;
    ++bytes;
  }
  return text.substr(0, bytes);
}

// Elapsed time over the share done; nothing to say before something is.
std::string remaining(double fraction, double seconds) {
  return fraction > 0 ? clock_text(seconds * (1 - fraction) / fraction) + " left" : "";
}

}  // namespace

ProgressStyle style_of(int descriptor) {
  ProgressStyle style;
  const char* terminal = std::getenv("TERM");
  style.bar = ::isatty(descriptor) == 1 && !(terminal != nullptr && std::string_view(terminal) == "dumb");
  style.color = style.bar && !is_set("NO_COLOR");
  winsize size{};
  if (style.bar && ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) style.width = size.ws_col;
  return style;
}

std::string clock_text(double seconds) {
  const auto total = static_cast<long long>(std::llround(std::clamp(seconds, 0.0, 3.6e8)));
  const long long hours = total / 3600, minutes = total / 60 % 60;
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60)
                   : fmt::format("{:02}:{:02}", minutes, total % 60);
}

std::string progress_bar(const ProgressStyle& style, const std::string& label, double fraction, double seconds,
                         const std::string& message) {
  constexpr std::size_t kBar = 24;
  fraction = std::clamp(fraction, 0.0, 1.0);
  const auto width = static_cast<std::size_t>(std::max(1, style.width - 1));  // the last column may wrap
  const std::string left = remaining(fraction, seconds);
  const std::string numbers =
      fmt::format("{:3.0f} %  {}{}{}", std::floor(fraction * 100), clock_text(seconds), left.empty() ? "" : ", ", left);
  const std::string name = label.empty() ? "" : label + "  ";
  const std::size_t used = name.size() + kBar + 4 + numbers.size();  // brackets and two spaces: 4
  if (used > width) return cut(name + numbers, width);
  const auto filled = static_cast<std::size_t>(fraction * kBar);
  const std::string text = message.empty() || used + 3 > width ? "" : "  " + cut(message, width - used - 2);
  return fmt::format("{}[{}{}{}{}]  {}{}", name, style.color ? "\033[32m" : "", std::string(filled, '#'),
                     style.color ? "\033[0m" : "", std::string(kBar - filled, '.'), numbers, text);
}

Progress::Progress(std::int64_t total, ProgressOptions options) : total_(total), options_(std::move(options)) {
  check<ValueError>(total >= 1, "progress", "expected a total of at least 1; got {}", total);
  start_ = now();
  last_shown_ = start_;
}

Progress::~Progress() { clear(); }

ProgressStyle Progress::style() const { return options_.style ? *options_.style : style_of(STDERR_FILENO); }
std::ostream& Progress::out() const { return options_.out != nullptr ? *options_.out : std::cerr; }
double Progress::now() const {
  if (options_.seconds) return options_.seconds();
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Progress::update(std::int64_t done, const std::string& message) {
  const double time = now();
  const ProgressStyle style = this->style();
  if (time - last_shown_ < (style.bar ? options_.redraw_seconds : options_.line_seconds)) return;
  last_shown_ = time;
  const double fraction = static_cast<double>(done) / static_cast<double>(total_);
  if (style.bar) {
    out() << kWipe << progress_bar(style, options_.label, fraction, time - start_, message) << std::flush;
    drawn_ = true;
  } else {
    const std::string left = remaining(fraction, time - start_);
    out() << options_.label << (options_.label.empty() ? "" : ": ") << fmt::format("{:.0f} %", std::floor(fraction * 100))
          << ", " << clock_text(time - start_) << (left.empty() ? "" : ", ") << left << (message.empty() ? "" : "  ") << message
          << std::endl;
  }
}

void Progress::print(const std::string& line) {
  clear();
  out() << line << std::endl;
}

void Progress::clear() {
  if (drawn_) out() << kWipe << std::flush;
  drawn_ = false;
}

}  // namespace heft::train
