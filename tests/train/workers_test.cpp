#include "train/workers.h"

#include <unistd.h>

#include <csignal>
#include <map>

#include "core/error.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;
using heft::train::Workers;

namespace {

// Everything that a worker says, by its number; empty lines: its end.
std::map<int, std::vector<std::string>> all_lines(Workers& workers, std::size_t count) {
  std::map<int, std::vector<std::string>> lines;
  for (std::size_t ended = 0; ended < count;) {
    const std::optional<Workers::Line> line = workers.next(60);
    REQUIRE(line);
    if (line->text) lines[line->worker].push_back(*line->text);
    ended += !line->text;
  }
  return lines;
}

template <class E>
std::string end_of(const std::function<void(const Workers::Report&)>& work) {
  Workers workers;
  workers.start(1, work);
  return message_of<E>([&] { all_lines(workers, 1); });
}

}  // namespace

TEST_CASE("workers: what each says arrives whole and in order, and changes nothing here", "[train][workers]") {
  Workers workers;
  int mine = 0;
  for (int i = 1; i <= 3; ++i)
    workers.start(i, [&mine, i](const Workers::Report& report) {
      for (mine = 1; mine <= 1000; ++mine) report(std::to_string(i * mine));
      report(std::string(200'000, 'x'));
      report("two\nlines");
      report("");
    });
  const auto lines = all_lines(workers, 3);
  CHECK(mine == 0);
  REQUIRE(lines.size() == 3);
  for (const auto& [worker, said] : lines) {
    REQUIRE(said.size() == 1003);
    for (int j = 0; j < 1000; ++j) CHECK(said[static_cast<std::size_t>(j)] == std::to_string(worker * (j + 1)));
    CHECK(said[1000] == std::string(200'000, 'x'));
    CHECK(said[1001] == "two lines");
    CHECK(said[1002].empty());
  }
  CHECK_FALSE(workers.next(0));
}

TEST_CASE("workers: errors come here as what they were, ends from outside too", "[train][workers]") {
  using Report = Workers::Report;
  CHECK(contains(end_of<DataError>([](const Report&) { throw DataError("idx", "torn"); }), "[idx] torn"));
  CHECK(contains(end_of<ValueError>([](const Report&) { throw ValueError("fit", "wrong"); }), "[fit] wrong"));
  CHECK(contains(end_of<DeviceError>([](const Report&) { throw DeviceError("cuda", "none"); }), "[cuda] none"));
  CHECK(contains(end_of<Error>([](const Report&) { throw std::runtime_error("else"); }), "else"));
  CHECK(contains(end_of<Error>([](const Report&) { ::raise(SIGKILL); }), "signal 9"));
}

TEST_CASE("workers: those that are not waited for are ended", "[train][workers]") {
  pid_t process = 0;
  {
    Workers workers;
    workers.start(1, [](const Workers::Report& report) {
      report(std::to_string(::getpid()));
      ::pause();
    });
    process = std::stoi(workers.next(60)->text.value());
    CHECK_FALSE(workers.next(0));
    CHECK(::kill(process, 0) == 0);
  }
  CHECK(::kill(process, 0) != 0);
}
