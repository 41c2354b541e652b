#include "train/progress.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <sstream>
#include <string>

#include "core/error.h"
#include "tests/catch_compat.h"

using heft::test::contains;
using namespace heft::train;

namespace {
std::string bar(int width, double fraction, const std::string& message = "loss 0.5") {
  return progress_bar({.bar = true, .width = width, .color = false}, "sgd", fraction, 12, message);
}
}  // namespace

TEST_CASE("progress: a bar with the time that is left", "[train][progress]") {
  CHECK(bar(100, 0.5) == "sgd  [############............]   50 %  00:12, 00:12 left  loss 0.5");
  CHECK(bar(100, 0, "") == "sgd  [........................]    0 %  00:12");
  CHECK(bar(100, 1, "") == "sgd  [########################]  100 %  00:12, 00:00 left");
  CHECK(clock_text(59.6) == "01:00");
  CHECK(clock_text(3723) == "1:02:03");
  CHECK(clock_text(-5) == "00:00");
  CHECK(contains(progress_bar({.bar = true, .width = 100, .color = true}, "", 0.5, 1, ""), "\033[32m"));
}

TEST_CASE("progress: no line is wider than the terminal", "[train][progress]") {
  for (int width = 1; width < 120; ++width)
    for (const double fraction : {0.0, 0.37, 1.0})
      CHECK(bar(width, fraction).size() <= static_cast<std::size_t>(std::max(1, width - 1)));
  CHECK(bar(40, 0.5) == "sgd   50 %  00:12, 00:12 left");
  const std::string greek = bar(63, 0.5, "\xce\xbb\xce\xbb\xce\xbb\xce\xbb\xce\xbb\xce\xbb\xce\xbb\xce\xbb\xce\xbb");
  CHECK((static_cast<unsigned char>(greek.back()) & 0xc0) == 0x80);  // cut after a whole character
}

TEST_CASE("progress: elsewhere a line at intervals, never more", "[train][progress]") {
  std::ostringstream out;
  double time = 0;
  {
    Progress progress(
        1000, {.label = "sgd", .out = &out, .style = ProgressStyle{}, .line_seconds = 10, .seconds = [&] { return time; }});
    for (int step = 1; step <= 1000; ++step) {
      time += 0.025;
      progress.update(step, "loss 1");
    }
  }
  CHECK(out.str() == "sgd: 40 %, 00:10, 00:15 left  loss 1\nsgd: 80 %, 00:20, 00:05 left  loss 1\n");
}

TEST_CASE("progress: a bar redraws in place and goes away", "[train][progress]") {
  std::ostringstream out;
  double time = 0;
  {
    Progress progress(10, {.out = &out, .style = ProgressStyle{.bar = true, .width = 60}, .seconds = [&] { return time; }});
    for (int step = 1; step <= 10; ++step) {
      time += 0.06;
      progress.update(step);
    }
    progress.print("epoch 1");
    CHECK(contains(out.str(), "\r\033[Kepoch 1\n"));
    time += 1;
    progress.update(10);
  }
  const std::string text = out.str();
  CHECK(text.substr(text.size() - 4) == "\r\033[K");
  int redraws = 0;
  for (std::size_t at = text.find(" %"); at != std::string::npos; at = text.find(" %", at + 1)) ++redraws;
  CHECK(redraws == 6);  // every second step of 0.06 s, and the last
  CHECK_THROWS_AS(Progress(0), heft::ValueError);
}

TEST_CASE("progress: a file is not a terminal", "[train][progress]") {
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  CHECK_FALSE(style_of(pipe_ends[1]).bar);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

namespace {

// Of the environment, until the end of the scope.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    if (value != nullptr) ::setenv(name, value, 1);
    else ::unsetenv(name);
  }
  ~Variable() {
    if (before_) ::setenv(name_, before_->c_str(), 1);
    else ::unsetenv(name_);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

}  // namespace

TEST_CASE("progress: a bar on a terminal alone, and no colour where NO_COLOR says so", "[train]") {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0) HEFT_SKIP("there is no pseudo-terminal");
  const int terminal = ::open(::ptsname(master), O_RDWR | O_NOCTTY), file = ::open("/dev/null", O_WRONLY);
  REQUIRE(terminal >= 0);
  {
    const Variable kind("TERM", "xterm"), plain("NO_COLOR", nullptr);
    CHECK(style_of(terminal).bar);
    CHECK(style_of(terminal).color);
    CHECK_FALSE(style_of(file).bar);
    CHECK_FALSE(style_of(file).color);
    const Variable empty("NO_COLOR", "");  // as good as unset: no-color.org
    CHECK(style_of(terminal).color);
    const Variable set("NO_COLOR", "1");
    CHECK(style_of(terminal).bar);
    CHECK_FALSE(style_of(terminal).color);
    const Variable dumb("TERM", "dumb");
    CHECK_FALSE(style_of(terminal).bar);
  }
  ::close(terminal);
  ::close(file);
  ::close(master);
}
