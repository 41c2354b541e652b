#include "data/idx.h"

#include <sys/resource.h>

#include "core/error.h"
#include "core/memory.h"
#include "data/dataset.h"
#include "tests/catch_compat.h"
#include "tests/data/temporary_directory.h"

using heft::DataError;
using heft::Shape;
using heft::Tensor;
using heft::data::read_idx;
using heft::test::contains;
using heft::test::gzip;
using heft::test::idx_bytes;
using heft::test::message_of;
using heft::test::TemporaryDirectory;

namespace {

// Refuses `bytes`, plain or not, with a message that has `text` and the file's name, and allocates no tensor.
void refuses(const std::string& bytes, const std::string& text) {
  const TemporaryDirectory dir;
  const std::string path = dir.write("bad-ubyte", bytes);
  const std::uint64_t before = heft::memory_stats().allocations;
  const std::string message = message_of<DataError>([&] { read_idx(path); });
  CAPTURE(message, text);
  CHECK(contains(message, text));
  CHECK(contains(message, path));
  CHECK(contains(message, "[read_idx]"));
  CHECK(heft::memory_stats().allocations == before);
}

}  // namespace

TEST_CASE("idx: plain and gzip files read alike, 1 to 4 axes", "[data][idx]") {
  const TemporaryDirectory dir;
  const std::string values("\x00\x01\x7f\x80\xfe\xff", 6);
  for (const std::vector<std::uint32_t>& extents :
       std::vector<std::vector<std::uint32_t>>{{6}, {2, 3}, {1, 2, 3}, {3, 1, 2, 1}}) {
    const std::string bytes = idx_bytes(extents, values);
    for (const std::string& content : {bytes, gzip(bytes)}) {
      const Tensor tensor = read_idx(dir.write("file", content));
      CHECK(tensor.dtype() == heft::DType::u8);
      CHECK(tensor.rank() == static_cast<int>(extents.size()));
      CHECK(tensor.numel() == 6);
      CHECK(tensor.size(0) == extents[0]);
      CHECK(tensor.to_vector<int>() == std::vector<int>{0, 1, 127, 128, 254, 255});
    }
  }
}

TEST_CASE("idx: a plain file that is not what it says is refused before anything is allocated", "[data][idx]") {
  refuses("", "truncated");
  refuses("\x00\x00", "truncated");
  refuses(heft::test::big_endian(0x00000803) + heft::test::big_endian(2), "truncated");
  refuses(heft::test::big_endian(0x00000d01) + heft::test::big_endian(1) + "abcd", "magic number");
  refuses(heft::test::big_endian(0x01000801) + heft::test::big_endian(1) + "a", "magic number");
  refuses(idx_bytes({}, "a"), "magic number");
  refuses(idx_bytes({1, 1, 1, 1, 1}, "a"), "magic number");
  refuses("just text, and enough of it", "magic number");
  refuses(idx_bytes({10, 3}, std::string(29, 'x')), "holds only 29");
  refuses(idx_bytes({10, 3}, std::string(31, 'x')), "holds more");
  refuses(idx_bytes({60000, 4000, 4000}, std::string(4096, 'x')), "expected at most 4294967296 bytes");
  refuses(idx_bytes({60000, 200, 200}, std::string(4096, 'x')), "holds only 4096");
  refuses(idx_bytes({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, "x"), "expected at most 4294967296 bytes");
  refuses(idx_bytes({0x80000000, 0x80000000, 4}, ""), "expected at most 4294967296 bytes");     // 2^64: wraps to 0
  refuses(idx_bytes({0, 0xffffffff, 0xffffffff, 2}, ""), "expected at most 4294967296 bytes");  // nothing, by strides too long
}

TEST_CASE("idx: a gzip file that is not what it says is refused before anything is allocated", "[data][idx]") {
  const std::string good = idx_bytes({10, 3}, std::string(30, 'x'));
  const std::string packed = gzip(good);
  refuses(packed.substr(0, packed.size() - 9), "truncated");
  refuses(packed.substr(0, packed.size() - 2), "truncated");
  refuses(packed.substr(0, 12), "truncated");
  refuses(packed + "x", "trailing bytes or a second member");
  refuses(packed + gzip("more"), "trailing bytes or a second member");
  refuses(gzip(idx_bytes({10, 3}, std::string(29, 'x'))), "holds only 29");
  refuses(gzip(idx_bytes({10, 3}, std::string(31, 'x'))), "holds more");
  refuses(gzip(idx_bytes({60000, 200, 200}, std::string(4096, 'x'))), "holds only 4096");
  refuses(gzip(idx_bytes({60000, 4000, 4000}, "")), "expected at most 4294967296 bytes");
  std::string damaged = packed;
  damaged[damaged.size() - 8] = static_cast<char>(damaged[damaged.size() - 8] ^ 1);  // the checksum
  refuses(damaged, "is damaged");
}

TEST_CASE("idx: a gzip bomb costs neither memory nor time", "[data][idx]") {
  const auto peak_kilobytes = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  const std::string bomb = gzip(idx_bytes({100, 10}, ""), std::uint64_t{100} << 20);
  CHECK(bomb.size() < 200000);  // 100 MiB in about 0.1
  const long before = peak_kilobytes();
  refuses(bomb, "holds more");
  CHECK(peak_kilobytes() - before < 16 * 1024);
}

TEST_CASE("idx: what is not a file is refused", "[data][idx]") {
  const TemporaryDirectory dir;
  CHECK(contains(message_of<DataError>([&] { read_idx(dir.file("absent")); }), "there is none at"));
  CHECK(contains(message_of<DataError>([&] { read_idx(dir.path()); }), "expected a file"));
}

TEST_CASE("idx_dataset: one label per image, and each in range", "[data][idx]") {
  const TemporaryDirectory dir;
  const std::string images = dir.write("images", idx_bytes({2, 1, 2}, std::string("\x00\xff\x33\x66", 4)));
  const auto dataset = heft::data::idx_dataset(images, dir.write("labels", idx_bytes({2}, std::string("\x01\x00", 2))));
  CHECK(dataset->size() == 2);
  CHECK(dataset->classes() == 2);
  CHECK(dataset->get(0).label == 1);
  CHECK(dataset->get(1).image.shape() == Shape{1, 1, 2});
  CHECK(dataset->get(1).image.to_vector<float>() == std::vector<float>{0.2f, 0.4f});

  const std::string three = dir.write("three", idx_bytes({3}, "abc"));
  CHECK(contains(message_of<DataError>([&] { heft::data::idx_dataset(images, three); }), "one label per image, (2)"));
  CHECK(contains(message_of<DataError>([&] { heft::data::idx_dataset(three, three); }), "(N, H, W)"));
  const std::string high = dir.write("high", idx_bytes({2}, std::string("\x01\x0a", 2)));
  CHECK(contains(message_of<DataError>([&] { heft::data::idx_dataset(images, high, {.classes = 10}); }),
                 "expected labels in [0, 10); sample 1 has 10"));
}
