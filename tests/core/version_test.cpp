#include "core/version.h"

#include <string>

#include "tests/catch_compat.h"

TEST_CASE("version: text, numbers and library agree", "[core]") {
  const auto number = [](int n) { return std::to_string(n); };
  CHECK(number(HEFT_VERSION_MAJOR) + '.' + number(HEFT_VERSION_MINOR) + '.' + number(HEFT_VERSION_PATCH) == HEFT_VERSION);
  CHECK(heft::version() == std::string(HEFT_VERSION));
}
