// CSV text.
#include "data/csv.h"

#include <string_view>

#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), count);
  return heft::test::refuse_or_read(count,
                                    [&](auto&) { heft::data::parse_csv("fuzz", text, "fuzz", [](auto, const auto&) {}); });
}
