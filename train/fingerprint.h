// Whether two runs had the same data: a number that is cheap to take of a data set of any size.
#pragma once

#include <string>

#include "data/dataset.h"

namespace heft::train {

// 8 hexadecimal digits, the CRC-32 of: the number of samples and of classes, every label in order, and of 256 samples evenly
// spaced, the first among them, (of all where there are fewer) the shape and the values of the image. Another size, order,
// label or preparation of the images shows for sure or nearly so; a change to a single image only where it is among the 256.
std::string fingerprint(const data::Dataset& dataset);

}  // namespace heft::train
