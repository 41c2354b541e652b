// Catch2 2 and 3 alike. Tests run with the repository root as working directory: files are "tests/golden/...".
#pragma once

#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif

#include <iostream>
#include <string>

// Ends a test that cannot run here and shows as skipped in ctest's summary.
#define HEFT_SKIP(reason)                                   \
  do {                                                      \
    std::cout << "skipped here: " << (reason) << std::endl; \
    SUCCEED();                                              \
    return;                                                 \
  } while (false)

namespace heft::test {

// The message of the E that `body` throws; fails the test where it throws none.
//   CHECK(contains(message_of<ShapeError>([&] { matmul(a, b); }), "got (2, 3)"));
template <class E, class Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const E& error) {
    return error.what();
  }
  FAIL("expected an exception; none was thrown");
  return {};
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace heft::test
