#include "data/fashion_mnist.h"

#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "data/imbalance.h"
#include "data/loader.h"
#include "tests/catch_compat.h"
#include "tests/data/temporary_directory.h"

using heft::data::Batch;
using heft::data::DatasetPtr;
using heft::data::fashion_mnist;
using heft::test::contains;
using heft::test::message_of;

TEST_CASE("fashion-mnist: a missing or wrong set says what to install", "[data]") {
  const heft::test::TemporaryDirectory dir;
  const auto message = [&] { return message_of<heft::DataError>([&] { fashion_mnist({.dir = dir.path()}); }); };
  CHECK(contains(message(), "dataset-fashion-mnist"));
  CHECK(contains(message(), dir.path()));
  dir.write("train-images-idx3-ubyte", heft::test::idx_bytes({2, 1, 1}, "ab"));
  CHECK(contains(message(), "train-labels-idx1-ubyte"));
  dir.write("train-labels-idx1-ubyte.gz", heft::test::gzip(heft::test::idx_bytes({2}, std::string("\0\1", 2))));
  CHECK(contains(message(), "expected 60000 images of (1, 28, 28)"));
}

TEST_CASE("fashion-mnist: the real images", "[data][fashion-mnist]") {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) {
    WARN("the Debian package dataset-fashion-mnist is not installed");
    HEFT_SKIP("the Debian package dataset-fashion-mnist is not installed");
  }
  const DatasetPtr train = fashion_mnist(), test = fashion_mnist({.train = false});
  REQUIRE(train->size() == 60000);
  REQUIRE(test->size() == 10000);
  CHECK(heft::data::class_counts(train) == std::vector<std::int64_t>(10, 6000));
  CHECK(heft::data::class_counts(test) == std::vector<std::int64_t>(10, 1000));
  CHECK(train->class_names().at(9) == "Ankle boot");
  CHECK(train->get(0).label == 9);
  std::int64_t pixels = 0;  // of all training images, in bytes
  heft::data::Loader loader(train, {.batch_size = 1000});
  for (const Batch& batch : loader) {
    REQUIRE(batch.images.shape() == heft::Shape{1000, 1, 28, 28});
    const float* x = batch.images.data<float>();
    for (std::int64_t i = 0; i < batch.images.numel(); ++i) pixels += std::lround(x[i] * 255);
  }
  CHECK(pixels == 3431114169);
  const heft::data::Normalization estimate = heft::data::estimate_normalization(train);
  CHECK(estimate.mean.at(0) == Approx(0.2860405969887955).epsilon(1e-6));
  CHECK(estimate.std.at(0) == Approx(0.3530242445149226).epsilon(1e-6));
  CHECK(heft::data::class_counts(heft::data::long_tailed(train, {.ratio = 0.01, .order = heft::data::ClassOrder::reversed})) ==
        std::vector<std::int64_t>{60, 100, 166, 278, 464, 774, 1292, 2156, 3596, 6000});
}
