#include "train/safetensors.h"

#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "tests/catch_compat.h"
#include "tests/train/files.h"
#include "train/atomic_file.h"

using heft::DataError;
using heft::DType;
using heft::Shape;
using heft::Tensor;
using heft::test::contains;
using heft::test::files_in;
using heft::test::message_of;
using heft::test::read_text;
using heft::test::TemporaryDirectory;
using namespace heft::train;

namespace {

std::string file_of(const std::string& header, const std::string& values = "") {
  std::string text(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) text[i] = static_cast<char>(header.size() >> (8 * i) & 0xff);
  return text + header + values;
}

// The refusal of a file of these bytes.
std::string refusal(const std::string& bytes) {
  const TemporaryDirectory folder;
  folder.write("bad.safetensors", bytes);
  const std::string message = message_of<DataError>([&] { read_safetensors(folder.file("bad.safetensors")); });
  CHECK(contains(message, "bad.safetensors"));
  return message;
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

SafeTensors sample_contents() {
  SafeTensors contents;
  contents.tensors["model.conv1.weight"] = Tensor::from(std::vector<float>{1, -2, 3.5f, 4, 5, 6}, {2, 3});
  contents.tensors["optimizer.log_u"] = Tensor::scalar(-0.1, DType::f64);
  contents.tensors["counter"] = Tensor::from(std::vector<std::int64_t>{7, -8});
  contents.tensors["i32"] = Tensor::from(std::vector<std::int32_t>{9});
  contents.tensors["u8"] = Tensor::from(std::vector<std::uint8_t>{1, 2, 255});
  contents.tensors["mask"] = Tensor::from(std::vector<bool>{true, false, true}, {3, 1});
  contents.tensors["none"] = Tensor::empty({0, 4});
  contents.metadata = {{"epoch", "3"}, {"text", "line\n\"quoted\" \xc3\xa9"}};
  return contents;
}

void check_same(const SafeTensors& got, const SafeTensors& expected) {
  CHECK(got.metadata == expected.metadata);
  REQUIRE(got.tensors.size() == expected.tensors.size());
  for (const auto& [name, tensor] : expected.tensors) {
    INFO(name);
    REQUIRE(got.tensors.count(name) == 1);
    const Tensor& other = got.tensors.at(name);
    CHECK(other.shape() == tensor.shape());
    CHECK(other.dtype() == tensor.dtype());
    CHECK(other.to_vector<double>() == tensor.to_vector<double>());
  }
}

}  // namespace

TEST_CASE("safetensors: what was written comes back", "[train][safetensors]") {
  const TemporaryDirectory folder;
  const SafeTensors contents = sample_contents();
  write_safetensors(folder.file("x.safetensors"), contents);
  check_same(read_safetensors(folder.file("x.safetensors")), contents);
  CHECK(files_in(folder) == 1);

  const std::string text = read_text(folder.file("x.safetensors"));
  CHECK(static_cast<unsigned char>(text[0]) % 8 == 0);  // values start 8-aligned
  CHECK(text[8] == '{');

  write_safetensors(folder.file("empty.safetensors"), {});
  check_same(read_safetensors(folder.file("empty.safetensors")), {});

  SafeTensors view;
  view.tensors["t"] = contents.tensors.at("model.conv1.weight").transpose();
  write_safetensors(folder.file("view.safetensors"), view);
  check_same(read_safetensors(folder.file("view.safetensors")), view);

  SafeTensors special;
  special.tensors["x"] = Tensor::from(std::vector<float>{std::numeric_limits<float>::infinity(), 0, -0.0f});
  write_safetensors(folder.file("special.safetensors"), special);
  check_same(read_safetensors(folder.file("special.safetensors")), special);
}

TEST_CASE("safetensors: bytes as the format's own writer makes them", "[train][safetensors]") {
  const TemporaryDirectory folder;
  const std::string header = R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  folder.write("x", file_of(header + "   ", std::string("\0\0\x80\x3f\0\0\0\xc0", 8)));
  const SafeTensors contents = read_safetensors(folder.file("x"));
  CHECK(contents.metadata.at("format") == "pt");
  CHECK(contents.tensors.at("a").to_vector<float>() == std::vector<float>{1, -2});

  SafeTensors ours;
  ours.tensors["a"] = Tensor::from(std::vector<float>{1, -2});
  write_safetensors(folder.file("y"), ours);
  const std::string expected = R"({"a":{"data_offsets":[0,8],"dtype":"F32","shape":[2]}})";
  CHECK(read_text(folder.file("y")) ==
        file_of(expected + std::string((8 - expected.size() % 8) % 8, ' '), std::string("\0\0\x80\x3f\0\0\0\xc0", 8)));
}

TEST_CASE("safetensors: F16 and BF16 are read as f32, every value of them", "[train][safetensors]") {
  const TemporaryDirectory folder;
  std::string all;
  for (int bits = 0; bits < 65536; ++bits) all += {static_cast<char>(bits & 255), static_cast<char>(bits >> 8)};
  folder.write("x", file_of("{\"half\":" + entry("F16", "[256,256]", "[0,131072]") +
                                ",\"brain\":" + entry("BF16", "[65536]", "[131072,262144]") +
                                ",\"none\":" + entry("F16", "[0]", "[262144,262144]") +
                                ",\"one\":" + entry("BF16", "[]", "[262144,262146]") + "}",
                            all + all + std::string("\x40\x40", 2)));
  const SafeTensors contents = read_safetensors(folder.file("x"));
  CHECK(contents.tensors.at("half").shape() == Shape{256, 256});
  CHECK(contents.tensors.at("half").dtype() == DType::f32);
  CHECK(contents.tensors.at("none").shape() == Shape{0});
  CHECK(contents.tensors.at("one").item<float>() == 3);
  const auto half = contents.tensors.at("half").to_vector<float>(), brain = contents.tensors.at("brain").to_vector<float>();
  // IEEE 754: (-1)^sign 2^(exponent - bias) 1.fraction, without the leading 1 for the smallest exponent, and infinity and NaN
  // for the largest.
  const auto value = [](int bits, int fraction_bits, int bias) {
    const int largest = (1 << (15 - fraction_bits)) - 1, exponent = bits >> fraction_bits & largest;
    const double fraction = std::ldexp(bits & ((1 << fraction_bits) - 1), -fraction_bits), sign = bits >> 15 ? -1 : 1;
    if (exponent == largest) return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
    return sign * (exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias));
  };
  int wrong = 0;
  for (int bits = 0; bits < 65536; ++bits)
    for (const auto& [got, expected] : {std::pair<double, double>(half[static_cast<std::size_t>(bits)], value(bits, 10, 15)),
                                        std::pair<double, double>(brain[static_cast<std::size_t>(bits)], value(bits, 7, 127))})
      wrong += std::isnan(expected) ? !std::isnan(got) : got != expected || std::signbit(got) != std::signbit(expected);
  CHECK(wrong == 0);
}

TEST_CASE("safetensors: a file cut at any byte is refused", "[train][safetensors]") {
  const TemporaryDirectory folder;
  write_safetensors(folder.file("whole"), sample_contents());
  const std::string text = read_text(folder.file("whole"));
  for (std::size_t length = 0; length < text.size(); ++length) {
    folder.write("cut", text.substr(0, length));
    INFO("cut to " << length << " of " << text.size() << " bytes");
    CHECK_THROWS_AS(read_safetensors(folder.file("cut")), DataError);
  }
  folder.write("longer", text + "x");
  CHECK(contains(message_of<DataError>([&] { read_safetensors(folder.file("longer")); }), "trailing bytes"));
}

TEST_CASE("safetensors: headers that lie are refused", "[train][safetensors]") {
  const std::string four(4, '\0');
  CHECK(contains(refusal("abc"), "3 bytes"));
  CHECK(contains(refusal(std::string(8, '\xff') + "{}"), "18446744073709551615"));
  CHECK(contains(refusal(file_of(std::string(kMaxHeaderBytes + 1, ' '))), "at most 1048576"));
  CHECK(contains(refusal(file_of("")), "JSON object"));
  CHECK(contains(refusal(file_of("[]")), "JSON object"));
  CHECK(contains(refusal(file_of(" {}")), "JSON object"));
  CHECK(contains(refusal(file_of("{} x")), "parser"));
  CHECK(contains(refusal(file_of("{\"a\xff\":1}")), "parser"));
  CHECK(contains(refusal(file_of("{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}")), "levels deep"));

  CHECK(contains(refusal(file_of("{\"a\":{\"b\":{}}}")), "levels deep"));
  CHECK(contains(refusal(file_of("{\"a\":{\"b\":[{}]}}")), "levels deep"));
  CHECK(contains(refusal(file_of("{\"a\":{\"b\":[[]]}}")), "levels deep"));
  CHECK(contains(refusal(file_of("{\"a\":{\"b\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}}")), "at most 16 values"));

  const std::string good = entry("F32", "[1]", "[0,4]");
  CHECK(contains(refusal(file_of("{\"a\":" + good + ",\"a\":" + good + "}", four)), "'a' comes twice"));
  CHECK(contains(refusal(file_of(R"({"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}})", four)), "'dtype'"));
  CHECK(contains(refusal(file_of("{\"a\":1}")), "tensor 'a'"));
  CHECK(contains(refusal(file_of(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", four)), "'dtype'"));
  CHECK(contains(refusal(file_of(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", four)), "'shape'"));
  CHECK(contains(refusal(file_of(R"({"a":{"dtype":"F32","shape":[1]}})", four)), "'data_offsets'"));
  CHECK(contains(refusal(file_of("{\"__metadata__\":[]}")), "__metadata__"));
  CHECK(contains(refusal(file_of("{\"__metadata__\":{\"a\":1}}")), "'a' to be a string"));

  const auto refused_entry = [&](const char* dtype, const char* shape, const char* offsets) {
    const std::string message = refusal(file_of("{\"a\":" + entry(dtype, shape, offsets) + "}", four));
    CHECK(contains(message, "tensor 'a'"));
    return message;
  };
  CHECK(contains(refused_entry("F8_E4M3", "[4]", "[0,4]"), "'F8_E4M3'"));
  CHECK(contains(refused_entry("F16", "[1]", "[0,4]"), "expected 2 bytes for F16"));
  CHECK(contains(refused_entry("BF16", "[4]", "[0,4]"), "expected 8 bytes for BF16"));
  // What they would be as f32 has to fit, too.
  CHECK(contains(refused_entry("F16", "[1099511627776,2097152]", "[0,4611686018427387904]"), "fits in memory"));
  CHECK(contains(refused_entry("f32", "[1]", "[0,4]"), "'f32'"));
  CHECK(contains(refused_entry("F32", "[-1]", "[0,4]"), "non-negative"));
  CHECK(contains(refused_entry("F32", "[1.0]", "[0,4]"), "non-negative"));
  CHECK(contains(refused_entry("F32", "[18446744073709551617]", "[0,4]"), "non-negative"));
  CHECK(contains(refused_entry("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), "got 9"));
  CHECK(contains(refused_entry("F32", "[2]", "[0,4]"), "expected 8 bytes"));
  CHECK(contains(refused_entry("F32", "[4294967296,1073741824]", "[0,4]"), "fits in memory"));  // product wraps to 0
  CHECK(contains(refused_entry("F32", "[2199023255552]", "[0,4]"), "fits in memory"));
  CHECK(contains(refused_entry("F32", "[0,1099511627776,1099511627776]", "[0,0]"), "fits in memory"));
  CHECK(contains(refused_entry("F32", "[1]", "[4,0]"), "begin <= end"));
  CHECK(contains(refused_entry("F32", "[1]", "[0,4,8]"), "[0, 4, 8]"));
  CHECK(contains(refused_entry("F32", "[1]", "[1,5]"), "start at byte 0"));
  CHECK(contains(refused_entry("F32", "[0]", "[2,2]"), "start at byte 0"));
}

TEST_CASE("safetensors: a header of many tensors takes no long time", "[train][safetensors]") {
  // With the parser's callback the time was quadratic in the names: seconds, and a minute under a sanitizer.
  std::string tensors = "{";
  for (int i = 0; tensors.size() < kMaxHeaderBytes - 100; ++i)
    tensors += (i ? ",\"" : "\"") + std::to_string(i) + "\":" + entry("U8", "[0]", "[0,0]");
  const TemporaryDirectory folder;
  folder.write("many", file_of(tensors + "}"));
  CHECK(read_safetensors(folder.file("many")).tensors.size() > 10000);
}

TEST_CASE("safetensors: values must fill the file exactly once", "[train][safetensors]") {
  const auto two = [](const char* a, const char* b, std::size_t bytes) {
    return refusal(
        file_of("{\"a\":" + entry("U8", "[4]", a) + ",\"b\":" + entry("U8", "[4]", b) + "}", std::string(bytes, '\0')));
  };
  CHECK(contains(two("[0,4]", "[2,6]", 6), "tensor 'b'"));    // overlap
  CHECK(contains(two("[0,4]", "[0,4]", 4), "tensor 'b'"));    // the same bytes twice
  CHECK(contains(two("[0,4]", "[6,10]", 10), "tensor 'b'"));  // a hole
  CHECK(contains(two("[0,4]", "[4,8]", 7), "truncated"));
  CHECK(contains(two("[0,4]", "[4,8]", 9), "trailing bytes"));

  // A claim of terabytes costs nothing: it is compared with the file first.
  CHECK(contains(refusal(file_of("{\"a\":" + entry("F32", "[1099511627776]", "[0,4398046511104]") + "}")), "truncated"));
  CHECK(contains(refusal(file_of("{\"m\":" + entry("BOOL", "[1]", "[0,1]") + "}", "\x02")), "0 or 1"));

  std::string many = "{";
  for (int i = 0; i < 70000; ++i) many += (i ? ",\"" : "\"") + std::to_string(i) + "\":0";
  CHECK(contains(refusal(file_of(many + "}")), "at most 65536"));
  CHECK(contains(refusal(file_of("{\"__metadata__\":" + many + "}}")), "at most 65536 entries"));
  CHECK(contains(refusal(file_of("{\"" + std::string(600, 'n') + "\":" + entry("U8", "[0]", "[0,0]") + "}")),
                 "at most 512 bytes"));
  CHECK(contains(refusal(file_of("{\"a\\u0000b\":" + entry("U8", "[0]", "[0,0]") + "}")), "'a?b'"));
}

TEST_CASE("safetensors: what is no file is refused", "[train][safetensors]") {
  const TemporaryDirectory folder;
  CHECK(contains(message_of<DataError>([&] { read_safetensors(folder.file("absent")); }), "absent"));
  CHECK_THROWS_AS(read_safetensors(folder.path()), DataError);
  CHECK(contains(message_of<DataError>([&] { write_safetensors(folder.file("no/such/folder"), {}); }), "no/such/folder"));
}

TEST_CASE("safetensors: names that cannot be written are refused", "[train][safetensors]") {
  const TemporaryDirectory folder;
  const auto refused_name = [&](const std::string& name) {
    SafeTensors contents;
    contents.tensors[name] = Tensor::scalar(1);
    CHECK_THROWS_AS(write_safetensors(folder.file("x"), contents), heft::ValueError);
  };
  refused_name("__metadata__");
  refused_name(std::string(513, 'n'));
  refused_name(std::string("a\0b", 3));
  refused_name("\xff");
  SafeTensors undefined;
  undefined.tensors["u"] = Tensor();
  CHECK(contains(message_of<heft::ValueError>([&] { write_safetensors(folder.file("x"), undefined); }), "'u'"));
  CHECK(files_in(folder) == 0);
}

TEST_CASE("write_atomically: a failure at any byte leaves the old file and nothing else", "[train][atomic]") {
  const TemporaryDirectory folder;
  const std::string text = "the new contents";
  folder.write("x", "old");
  for (std::size_t good = 0; good <= text.size(); ++good) {
    CHECK_THROWS_AS(write_atomically(folder.file("x"),
                                     [&](const Sink& sink) {
                                       sink(text.data(), good);
                                       throw heft::NumericError("test", "stop");
                                     }),
                    heft::NumericError);
    CHECK(read_text(folder.file("x")) == "old");
    CHECK(files_in(folder) == 1);
  }
  write_atomically(folder.file("x"), text);
  CHECK(read_text(folder.file("x")) == text);
  CHECK(files_in(folder) == 1);
}

TEST_CASE("write_atomically: a disk that is full at any byte leaves the old file", "[train][atomic]") {
  const TemporaryDirectory folder;
  folder.write("x", "old");
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  int failures = 0;
  for (rlim_t limit = 0; limit < 16; ++limit) {
    const rlimit tight{limit, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    try {
      write_atomically(folder.file("x"), "sixteen bytes!!!");
    } catch (const DataError&) {
      ++failures;
    }
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK(read_text(folder.file("x")) == "old");
    CHECK(files_in(folder) == 1);
  }
  std::signal(SIGXFSZ, handler);
  CHECK(failures == 16);
}
