#include "data/npy.h"

#include <cmath>
#include <limits>
#include <sstream>

#include "core/error.h"
#include "core/memory.h"
#include "tests/catch_compat.h"
#include "tests/data/temporary_directory.h"

using heft::DataError;
using heft::DType;
using heft::Shape;
using heft::Tensor;
using heft::data::read_npy;
using heft::data::write_npy;
using heft::test::contains;
using heft::test::message_of;
using heft::test::TemporaryDirectory;

namespace {

std::string npy(const std::string& header, const std::string& data, char major = 1) {
  std::string out = std::string("\x93NUMPY") + major + '\0';
  const std::size_t n = header.size();
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i) out.push_back(static_cast<char>(n >> (8 * i) & 0xff));
  return out + header + data;
}

void refuses(const std::string& bytes, const std::string& text) {
  const TemporaryDirectory dir;
  const std::string path = dir.write("bad.npy", bytes);
  const std::uint64_t before = heft::memory_stats().allocations;
  const std::string message = message_of<DataError>([&] { read_npy(path); });
  CAPTURE(message, text);
  CHECK(contains(message, text));
  CHECK(contains(message, path));
  CHECK(heft::memory_stats().allocations == before);
}

template <class T>
void round_trip(const std::vector<T>& values, const Shape& shape) {
  const TemporaryDirectory dir;
  const Tensor tensor = Tensor::from(values, shape);
  write_npy(dir.file("a.npy"), tensor);
  const Tensor back = read_npy(dir.file("a.npy"));
  CHECK(back.dtype() == tensor.dtype());
  CHECK(back.shape() == shape);
  CHECK(back.to_vector<T>() == values);
}

const std::string kFour(16, '\0');

}  // namespace

TEST_CASE("npy: every dtype and rank comes back as it was written", "[data][npy]") {
  round_trip<float>({1.5f, -0.0f, 1e-45f, std::numeric_limits<float>::infinity(), 3, 4}, {2, 3});
  round_trip<double>({0.1, -1e308, 5e-324}, {3});
  round_trip<std::int32_t>({-5, 2147483647}, {1, 2, 1});
  round_trip<std::int64_t>({INT64_MIN, INT64_MAX}, {2});
  round_trip<std::uint8_t>({0, 1, 255, 7, 8, 9, 10, 11}, {2, 2, 2});
  round_trip<float>({7}, {});
  round_trip<float>({}, {0, 3});
  const TemporaryDirectory dir;
  const Tensor flags = Tensor::from(std::vector<std::int64_t>{1, 0, 2}).astype(DType::boolean);
  write_npy(dir.file("b.npy"), flags);
  CHECK(read_npy(dir.file("b.npy")).dtype() == DType::boolean);
  CHECK(read_npy(dir.file("b.npy")).to_vector<int>() == std::vector<int>{1, 0, 1});
}

TEST_CASE("npy: a view is written in its logical order", "[data][npy]") {
  const TemporaryDirectory dir;
  write_npy(dir.file("t.npy"), Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}).transpose());
  const Tensor back = read_npy(dir.file("t.npy"));
  CHECK(back.shape() == Shape{3, 2});
  CHECK(back.to_vector<float>() == std::vector<float>{1, 4, 2, 5, 3, 6});
}

TEST_CASE("npy: the header is byte for byte NumPy's", "[data][npy]") {
  const TemporaryDirectory dir;
  const auto written = [&](const Tensor& tensor) {
    write_npy(dir.file("h.npy"), tensor);
    std::ifstream file(dir.file("h.npy"), std::ios::binary);
    std::stringstream content;
    content << file.rdbuf();
    return content.str();
  };
  // numpy.save of numpy.zeros((2, 3), '<f4') and numpy.zeros(2, '<i8').
  const auto expected = [](std::string header, std::size_t bytes) {
    header.resize(117, ' ');
    return npy(header + '\n', std::string(bytes, '\0'));
  };
  CHECK(written(Tensor::zeros({2, 3})) == expected("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 24));
  CHECK(written(Tensor::zeros({2}, DType::i64)) == expected("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }", 16));
}

TEST_CASE("npy: versions 1 to 3, key order, spacing and quotes as Python allows", "[data][npy]") {
  const TemporaryDirectory dir;
  const std::string header = "{\"shape\": (2,2,), 'descr':'<f4' , 'fortran_order': False}\n";
  for (const char major : {'\1', '\2', '\3'})
    CHECK(read_npy(dir.write("v.npy", npy(header, kFour, major))).shape() == Shape{2, 2});
  CHECK(
      read_npy(dir.write("v.npy", npy("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", std::string("\0\1\xff", 3))))
          .to_vector<int>() == std::vector<int>{0, 1, 1});
}

TEST_CASE("npy: a file that is not what it says is refused before anything is allocated", "[data][npy]") {
  const auto with = [](const std::string& descr, const std::string& order, const std::string& shape) {
    return npy("{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }", kFour);
  };
  refuses("", "truncated");
  refuses("not NumPy at all", "starts otherwise");
  refuses(with("'<f4'", "False", "(2, 2)").substr(0, 40), "truncated");
  refuses(npy("{}", "", '\4'), "version 1.0, 2.0 or 3.0");
  std::string padded = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }";
  padded.resize(10001, ' ');
  refuses(npy(padded, kFour), "at most 10000");
  refuses(std::string("\x93NUMPY\2\0\xff\xff\xff\xff", 12), "at most 10000");
  refuses(with("'|O'", "False", "(2,)"), "has |O");
  refuses(with("'>f4'", "False", "(4,)"), "has >f4");
  refuses(with("[('a', '<f4')]", "False", "(4,)"), "a string");
  refuses(with("'<f4'", "True", "(2, 2)"), "Fortran order");
  refuses(with("'<f4'", "0", "(2, 2)"), "True or False");
  refuses(with("'<f4'", "False", "(2, 3)"), "holds only 16");
  refuses(with("'<f4'", "False", "(3,)"), "holds more");
  refuses(with("'<f4'", "False", "(-4,)"), "an extent");
  refuses(with("'<f4'", "False", "(99999999999999999999,)"), "an extent");
  refuses(with("'<f8'", "False", "(4611686018427387904, 4)"), "below 2^63");
  refuses(with("'<f8'", "False", "(0, 4611686018427387904, 4)"), "below 2^63");  // nothing, by strides too long
  refuses(with("'<f4'", "False", "(1, 1, 1, 1, 1, 1, 1, 1, 4)"), "at most 8 axes");
  refuses(with("'<f4'", "False", "4"), "expected ( in the header");
  refuses(npy("{'descr': '<f4', 'shape': (4,)}", kFour), "the keys");
  refuses(npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", kFour), "once");
  refuses(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'more': 1}", kFour), "once");
  refuses(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)} x", kFour), "nothing after");
  refuses(npy("{'descr': '<f4", kFour), "closing quote");
}

TEST_CASE("npy: what cannot be written is said", "[data][npy]") {
  const TemporaryDirectory dir;
  CHECK(contains(message_of<DataError>([&] { write_npy(dir.file("no/such/dir.npy"), Tensor::zeros({1})); }), "cannot open"));
  CHECK(contains(message_of<heft::ValueError>([&] { write_npy(dir.file("u.npy"), Tensor()); }), "undefined"));
  if (std::filesystem::exists("/dev/full"))
    CHECK(contains(message_of<DataError>([&] { write_npy("/dev/full", Tensor::zeros({1 << 16})); }), "cannot write all"));
}
