// Fashion-MNIST: 60,000 training and 10,000 test images of clothing, 28x28 grey, 10 balanced classes (Xiao, Rasul,
// Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017).
#pragma once

#include <string>

#include "data/dataset.h"

namespace heft::data {

struct FashionMnistOptions {
  bool train = true;     // false: the test set
  std::string dir = {};  // empty: where the Debian package dataset-fashion-mnist puts it
};

// Images f32 (1, 28, 28) in [0, 1]. Reads {train,t10k}-{images-idx3,labels-idx1}-ubyte, plain or .gz. Throws DataError
// where a file is missing (with what to install), damaged, or not of that shape.
DatasetPtr fashion_mnist(const FashionMnistOptions& options = {});

}  // namespace heft::data
