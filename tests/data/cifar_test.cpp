#include "data/cifar.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/memory.h"
#include "tests/catch_compat.h"
#include "tests/data/temporary_directory.h"

using heft::DataError;
using heft::Shape;
using heft::data::cifar;
using heft::data::CifarOptions;
using heft::data::DatasetPtr;
using heft::test::contains;
using heft::test::gzip;
using heft::test::message_of;
using heft::test::TemporaryDirectory;
using Labels = std::vector<std::int64_t>;

namespace {

// A record whose red, green and blue planes start at `red`, at `red` + 50 and at `red` + 100 and count up by rows, modulo 256.
std::string record(const std::string& labels, int red) {
  std::string out = labels;
  for (int plane = 0; plane < 3; ++plane)
    for (int pixel = 0; pixel < 1024; ++pixel) out.push_back(static_cast<char>(red + 50 * plane + pixel));
  return out;
}

std::string label(int value) { return std::string(1, static_cast<char>(value)); }

// Five training files of 1, 2, 3, 2 and 1 records, the fourth compressed, and a test file of one.
void write_cifar10(const TemporaryDirectory& dir) {
  int number = 0;
  const int sizes[] = {1, 2, 3, 2, 1};
  for (int file = 0; file < 5; ++file) {
    std::string bytes;
    for (int i = 0; i < sizes[file]; ++i, ++number) bytes += record(label(9 - number), number);
    const std::string name = "data_batch_" + std::to_string(file + 1) + ".bin";
    if (file == 3) dir.write(name + ".gz", gzip(bytes));
    else dir.write(name, bytes);
  }
  dir.write("test_batch.bin", record(label(4), 200));
}

}  // namespace

TEST_CASE("cifar-10: five files one after another, plain or gzip, planes apart", "[data][cifar]") {
  const TemporaryDirectory dir;
  write_cifar10(dir);
  const DatasetPtr train = cifar({.dir = dir.path()}), test = cifar({.train = false, .dir = dir.path()});
  REQUIRE(train->size() == 9);
  CHECK(train->classes() == 10);
  CHECK(train->labels() == Labels{9, 8, 7, 6, 5, 4, 3, 2, 1});
  CHECK(train->class_names() ==
        std::vector<std::string>{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"});
  for (const std::int64_t position : {0, 6, 8}) {
    const heft::data::Sample sample = train->get(position);
    REQUIRE(sample.image.shape() == Shape{3, 32, 32});
    CHECK(sample.index == position);
    CHECK(sample.group == -1);
    const auto pixels = sample.image.to_vector<float>();
    for (const std::size_t i : {0, 33, 1023, 1024, 2500, 3071}) {
      const std::size_t byte = (static_cast<std::size_t>(position) + 50 * (i / 1024) + i % 1024) % 256;
      CHECK(pixels[i] == static_cast<float>(byte) / 255.0f);
    }
  }
  CHECK(test->labels() == Labels{4});
  CHECK(test->get(0).image.to_vector<float>()[0] == 200.0f / 255.0f);
}

TEST_CASE("cifar-100: the superclass is the group, the second byte the label", "[data][cifar]") {
  const TemporaryDirectory dir;
  dir.write("train.bin.gz", gzip(record(label(19) + label(99), 1) + record(label(0) + label(3), 2)));
  dir.write("test.bin", record(label(7) + label(50), 3));
  const DatasetPtr train = cifar({.dir = dir.path(), .classes = 100});
  CHECK(train->classes() == 100);
  CHECK(train->labels() == Labels{99, 3});
  CHECK(train->get(0).group == 19);
  CHECK(train->get(1).image.to_vector<float>()[0] == 2 / 255.0f);
  const DatasetPtr test = cifar({.train = false, .dir = dir.path(), .classes = 100});
  CHECK(test->labels() == Labels{50});
  const auto names = train->class_names();
  REQUIRE(names.size() == 100);
  CHECK(std::is_sorted(names.begin(), names.end()));
  CHECK(names[0] == "apple");
  CHECK(names[47] == "maple_tree");
  CHECK(names[99] == "worm");
}

TEST_CASE("cifar: a file that is not what it says is refused before anything is allocated", "[data][cifar]") {
  const auto refuses = [](const std::string& name, const std::string& bytes, CifarOptions options, const std::string& text) {
    const TemporaryDirectory dir;
    const std::string path = dir.write(name, bytes);
    options.dir = dir.path();
    const std::uint64_t before = heft::memory_stats().allocations;
    const std::string message = message_of<DataError>([&] { cifar(options); });
    CAPTURE(message, text);
    CHECK(contains(message, text));
    CHECK(contains(message, path));
    CHECK(contains(message, "[cifar]"));
    CHECK(heft::memory_stats().allocations == before);
  };
  const CifarOptions test10{.train = false}, test100{.train = false, .classes = 100};
  const std::string good = record(label(1), 0);
  refuses("test_batch.bin", "", test10, "holds 0 bytes");
  refuses("test_batch.bin", good.substr(0, 3072), test10, "3072 bytes, which is 0 records and 3072 bytes over");
  refuses("test_batch.bin", good + good + "x", test10, "2 records and 1 bytes over");
  refuses("test_batch.bin.gz", gzip(good + "x"), test10, "1 records and 1 bytes over");
  refuses("test_batch.bin.gz", gzip(good).substr(0, 40), test10, "truncated");
  refuses("test_batch.bin.gz", gzip(good) + "x", test10, "trailing bytes");
  refuses("test.bin", good, test100, "records of 3074 bytes");                         // CIFAR-10 taken for CIFAR-100
  refuses("test_batch.bin", record("\1\1", 0), test10, "1 records and 1 bytes over");  // and the other way round
}

TEST_CASE("cifar: labels out of range are named with file and record", "[data][cifar]") {
  const TemporaryDirectory dir;
  const auto message = [&](const CifarOptions& options) { return message_of<DataError>([&] { cifar(options); }); };
  const std::string ten = dir.write("test_batch.bin", record(label(9), 0) + record(label(10), 0));
  CHECK(contains(message({.train = false, .dir = dir.path()}), "expected a label in [0, 10); record 1 of " + ten + " has 10"));
  const std::string fine = dir.write("test.bin", record(label(19) + label(100), 0));
  CHECK(contains(message({.train = false, .dir = dir.path(), .classes = 100}), "label in [0, 100); record 0 of " + fine));
  const std::string coarse = dir.write("train.bin", record(label(20) + label(99), 0));
  CHECK(contains(message({.dir = dir.path(), .classes = 100}), "superclass in [0, 20); record 0 of " + coarse + " has 20"));
}

TEST_CASE("cifar: a huge file is not read", "[data][cifar]") {
  const TemporaryDirectory dir;
  std::filesystem::resize_file(dir.write("test_batch.bin", ""), (std::uint64_t{1} << 20) * 3073);  // sparse
  CHECK(contains(message_of<DataError>([&] { cifar({.train = false, .dir = dir.path()}); }),
                 "expected at most 1073741824 bytes"));
}

TEST_CASE("cifar: options outside their domain, missing files", "[data][cifar]") {
  const TemporaryDirectory dir;
  CHECK(contains(message_of<heft::ValueError>([&] { cifar({.dir = dir.path(), .classes = 20}); }),
                 "classes of 10 or 100; got 20"));
  CHECK(contains(message_of<heft::ValueError>([] { cifar(); }),
                 "expected dir to name the directory of data_batch_1.bin, data_b"));
  const std::string message = message_of<DataError>([&] { cifar({.dir = dir.path()}); });
  CHECK(contains(message, "expected data_batch_1.bin or data_batch_1.bin.gz in " + dir.path()));
  CHECK(contains(message, "CIFAR-10 binary version"));
  write_cifar10(dir);
  std::filesystem::remove(dir.file("data_batch_3.bin"));
  CHECK(contains(message_of<DataError>([&] { cifar({.dir = dir.path()}); }), "expected data_batch_3.bin or"));
}
