// NumPy's .npy files: one array each (numpy.lib.format, versions 1.0 to 3.0).
#pragma once

#include <filesystem>

#include "core/tensor.h"

namespace heft::data {

// Reads an array of <f4 <f8 |u1 <i4 <i8 |b1 in C order with at most 8 axes; plain or gzip. The shape is compared with
// what the file holds before anything is allocated. Throws DataError naming the file for anything else: other element
// types (objects above all), Fortran order, a header over 10,000 characters (NumPy's own limit), a file that is not
// exactly as long as its header says.
Tensor read_npy(const std::filesystem::path& path);

// Writes version 1.0, data aligned to 64 bytes, as NumPy does. Throws WriteError where the file cannot be written.
void write_npy(const std::filesystem::path& path, const Tensor& tensor);

}  // namespace heft::data
