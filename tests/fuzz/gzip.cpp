// gzip streams whose inside a fuzzer would hardly hit upon: the input is compressed, its first bytes say what is then broken.
#include <zlib.h>

#include <vector>

#include "data/idx.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  static heft::test::MemoryFile file;
  if (count < 4) return 0;
  const std::size_t at = bytes[0] | static_cast<std::size_t>(bytes[1]) << 8, cut = bytes[3] & 31U;
  const std::uint8_t flip = bytes[2];
  bytes += 4, count -= 4;

  z_stream stream{};
  if (deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) std::abort();
  std::vector<std::uint8_t> packed(deflateBound(&stream, count));
  stream.next_in = const_cast<std::uint8_t*>(bytes);
  stream.avail_in = static_cast<unsigned>(count);
  stream.next_out = packed.data();
  stream.avail_out = static_cast<unsigned>(packed.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) std::abort();
  packed.resize(stream.total_out);
  deflateEnd(&stream);

  packed[at % packed.size()] ^= flip;
  packed.resize(packed.size() - cut % packed.size());
  return heft::test::refuse_or_read(packed.size(), [&](auto& payload) {
    payload = heft::test::bytes_of(heft::data::read_idx(file.holding(packed.data(), packed.size())));
  });
}
