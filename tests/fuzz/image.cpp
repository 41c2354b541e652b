// PNG and JPEG; the first byte asks for one channel or three.
#include "data/image.h"

#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  if (count == 0) return 0;
  const std::span<const std::byte> image(reinterpret_cast<const std::byte*>(bytes + 1), count - 1);
  return heft::test::refuse_or_read([&] { heft::data::decode_image(image, {.channels = bytes[0] % 2 ? 3 : 1}, "fuzz"); });
}
