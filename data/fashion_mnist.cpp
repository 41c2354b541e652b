#include "data/fashion_mnist.h"

#include <filesystem>

#include "core/check.h"
#include "data/byte_source.h"

namespace heft::data {

namespace {

constexpr const char* kOp = "fashion_mnist";
constexpr const char* kDefaultDir = "/usr/share/datasets/fashion-mnist";

std::string find(const std::filesystem::path& dir, const std::string& file) {
  return find_plain_or_gzip(
      kOp, dir, file, "install the Debian package dataset-fashion-mnist, or name the directory that holds the four files");
}

}  // namespace

DatasetPtr fashion_mnist(const FashionMnistOptions& options) {
  const std::filesystem::path dir = options.dir.empty() ? kDefaultDir : options.dir;
  const std::string prefix = options.train ? "train" : "t10k";
  DatasetPtr dataset = idx_dataset(find(dir, prefix + "-images-idx3-ubyte"), find(dir, prefix + "-labels-idx1-ubyte"),
                                   {.classes = 10,
                                    .class_names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt",
                                                    "Sneaker", "Bag", "Ankle boot"}});
  const std::int64_t expected = options.train ? 60000 : 10000;
  const Shape shape = dataset->size() > 0 ? dataset->get(0).image.shape() : Shape{};
  check<DataError>(dataset->size() == expected && shape == Shape{1, 28, 28}, kOp,
                   "expected {} images of (1, 28, 28) in {}; got {} of {}", expected, dir.string(), dataset->size(), shape);
  return dataset;
}

}  // namespace heft::data
