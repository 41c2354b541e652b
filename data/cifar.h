// CIFAR-10 and CIFAR-100: 50,000 training and 10,000 test photographs, 32x32 in colour, balanced classes, in the "binary
// version" (A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009;
// https://www.cs.toronto.edu/~kriz/cifar.html): records of the label (CIFAR-100: superclass, then label), one byte each, and
// 3072 bytes of the red, the green and the blue plane, rows from the top.
#pragma once

#include <cstdint>
#include <string>

#include "data/dataset.h"

namespace heft::data {

struct CifarOptions {
  bool train = true;          // false: the test set
  std::string dir = {};       // holds the files below; there is no default
  std::int64_t classes = 10;  // 10 or 100
};

// Images f32 (3, 32, 32) in [0, 1], kept in memory as bytes; of CIFAR-100, Sample::group is the superclass, 0 to 19. Reads
//   CIFAR-10:  data_batch_1.bin to data_batch_5.bin, one after another, or test_batch.bin
//   CIFAR-100: train.bin or test.bin
// each plain, or gzip with .gz behind its name. A file has no header: it is as many records as it holds, so a smaller set
// made in the same form is read too. Throws ValueError unless dir is given and classes is 10 or 100; DataError naming the
// file where one is missing, is empty or over 1 GiB or not a whole number of records (found before anything is allocated),
// is damaged, or has a label outside its range (naming the record).
DatasetPtr cifar(const CifarOptions& options = {});

}  // namespace heft::data
