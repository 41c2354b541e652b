#include "data/relabel.h"

#include "core/error.h"
#include "data/npy.h"
#include "tests/catch_compat.h"
#include "tests/data/temporary_directory.h"

using heft::DataError;
using heft::Tensor;
using heft::data::DatasetPtr;
using heft::data::noise_rate;
using heft::data::relabelled;
using heft::data::relabelled_from_file;
using heft::test::contains;
using heft::test::message_of;
using heft::test::TemporaryDirectory;
using Labels = std::vector<std::int64_t>;

namespace {

DatasetPtr numbered(const Labels& labels, const Tensor& clean = {}) {
  return heft::data::memory_dataset(Tensor::zeros({static_cast<std::int64_t>(labels.size()), 1}), Tensor::from(labels),
                                    {.classes = 3, .class_names = {"a", "b", "c"}, .clean_labels = clean});
}

}  // namespace

TEST_CASE("relabelled: labels by index, the old ones kept", "[data][relabel]") {
  const DatasetPtr source = numbered({0, 1, 2, 0, 1}), part = heft::data::subset(source, {4, 2, 3});
  const DatasetPtr other = relabelled(part, {1, 1, 0, 0, 2});
  CHECK(other->labels() == Labels{2, 0, 0});
  CHECK(other->indices() == Labels{4, 2, 3});
  CHECK(other->class_names() == source->class_names());
  CHECK(other->get(1).label == 0);
  CHECK(other->get(1).clean_label == 2);
  const heft::data::Batch batch = other->get_batch(Labels{2, 0});
  CHECK(batch.labels.to_vector<std::int64_t>() == Labels{0, 2});
  CHECK(batch.clean_labels.to_vector<std::int64_t>() == Labels{0, 1});
  CHECK(batch.indices.to_vector<std::int64_t>() == Labels{3, 4});
  // What was clean before stays so, where it is known.
  const DatasetPtr again = relabelled(numbered({0, 1, 2}, Tensor::from(Labels{2, -1, 2})), {1, 0, 1});
  CHECK(again->get(0).clean_label == 2);
  CHECK(again->get(1).clean_label == 1);
  CHECK(again->get_batch(Labels{0, 1, 2}).clean_labels.to_vector<std::int64_t>() == Labels{2, 1, 2});
  CHECK_THROWS_AS(other->get(3), heft::ShapeError);
  CHECK_THROWS_AS(other->get_batch(Labels{3}), heft::ShapeError);
  CHECK(contains(message_of<heft::ShapeError>([&] { relabelled(part, {0, 1, 2}); }), "each of 5 samples of the source; got 3"));
  CHECK(contains(message_of<DataError>([&] { relabelled(source, {0, 1, 3, 0, 0}); }), "[0, 3); number 2 of the labels is 3"));
  CHECK_THROWS_AS(relabelled(nullptr, {}), heft::ValueError);
}

TEST_CASE("relabelled_from_file: a byte a label or .npy, plain or gzip", "[data][relabel]") {
  const TemporaryDirectory dir;
  const DatasetPtr source = numbered({0, 1, 2, 0, 1, 2, 0}), part = heft::data::subset(source, {1, 6});
  const Labels labels{2, 1, 0, 2, 1, 0, 2};
  const std::string bytes("\2\1\0\2\1\0\2", 7);
  CHECK(relabelled_from_file(source, dir.write("plain.u8", bytes))->labels() == labels);
  CHECK(relabelled_from_file(part, dir.write("packed.u8.gz", heft::test::gzip(bytes)))->labels() == Labels{1, 2});
  for (const heft::DType dtype : {heft::DType::u8, heft::DType::i32, heft::DType::i64}) {
    heft::data::write_npy(dir.file("labels"), Tensor::from(labels).astype(dtype));
    CHECK(relabelled_from_file(source, dir.file("labels"))->labels() == labels);
  }
  CHECK(relabelled_from_file(numbered({1}), dir.write("one", std::string("\2", 1)))->labels() == Labels{2});
}

TEST_CASE("relabelled_from_file: a file that does not fit is refused with its name", "[data][relabel]") {
  const TemporaryDirectory dir;
  const DatasetPtr source = numbered({0, 1, 2, 0, 1, 2, 0});
  const auto refuses = [&](const std::string& path, const std::string& text) {
    const std::string message = message_of<DataError>([&] { relabelled_from_file(source, path); });
    CAPTURE(message, text);
    CHECK(contains(message, text));
    CHECK(contains(message, path));
  };
  refuses(dir.file("absent"), "there is none at");
  refuses(dir.write("short", std::string(6, '\1')), "expected 7 bytes, one for each label;");
  refuses(dir.write("empty", ""), "holds only 0");
  refuses(dir.write("long", std::string(8, '\1')), "holds more");
  refuses(dir.write("long.gz", heft::test::gzip("", 1 << 20)), "holds more");
  refuses(dir.write("high", std::string("\0\1\2\3\0\0\0", 7)), "expected labels in [0, 3); number 3 of ");
  const auto npy = [&](const Tensor& tensor) {
    heft::data::write_npy(dir.file("labels.npy"), tensor);
    return dir.file("labels.npy");
  };
  refuses(npy(Tensor::zeros({7})), "holds f32 of (7,)");
  refuses(npy(Tensor::zeros({7, 1}, heft::DType::i64)), "holds i64 of (7, 1)");
  refuses(npy(Tensor::zeros({6}, heft::DType::i64)), "of shape (7,); ");
  refuses(npy(Tensor::from(Labels{0, 0, 0, 0, 0, 0, -1})), "number 6 of ");
}

TEST_CASE("noise_rate: wrong labels by clean class", "[data][relabel]") {
  const DatasetPtr noisy = relabelled(numbered({0, 0, 0, 0, 1, 1, 0}), {0, 1, 2, 0, 1, 0, 0});
  CHECK(noise_rate(noisy).overall == Approx(3.0 / 7));
  CHECK(noise_rate(noisy).by_class == std::vector<double>{0.4, 0.5, 0});
  // Samples without a clean label do not count.
  CHECK(noise_rate(numbered({0, 1, 2}, Tensor::from(Labels{1, -1, 2}))).overall == 0.5);
  CHECK(contains(message_of<heft::ValueError>([] { noise_rate(numbered({0, 1})); }), "none of 2 has one"));
  CHECK(contains(message_of<DataError>([] { noise_rate(numbered({0, 1}, Tensor::from(Labels{0, 5}))); }), "sample 1 has 5"));
  CHECK_THROWS_AS(noise_rate(nullptr), heft::ValueError);
}
