// PNG and JPEG; the first byte asks for one channel or three.
#include "data/image.h"

#include "data/image_pixels.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  if (count == 0) return 0;
  const std::span<const std::byte> image(reinterpret_cast<const std::byte*>(bytes + 1), count - 1);
  return heft::test::refuse_or_read(image.size(), [&](auto& payload) {
    // A decoder needs several times the pixels: those of a progressive JPEG are there as coefficients too.
    const heft::data::ImageHeader header = heft::data::parse_image_header("fuzz", image, "fuzz", {});
    const auto& info = header.info;
    payload = 8 * static_cast<std::uint64_t>(info.width * info.height * info.channels * header.sample_bytes);
    heft::data::decode_image(image, {.channels = bytes[0] % 2 ? 3 : 1}, "fuzz");
  });
}
