// The IDX format of MNIST and its relatives: big-endian magic 0x000008RR (unsigned bytes, RR axes), RR extents of four
// bytes, then the bytes in row-major order (Y. LeCun, "The MNIST database of handwritten digits").
#pragma once

#include <filesystem>

#include "core/tensor.h"

namespace heft::data {

// Reads a plain or gzip-compressed IDX file of unsigned bytes with 1 to 4 axes and at most 4 GiB as a u8 tensor.
// The extents are compared with what the file really holds before anything is allocated. Throws DataError naming the file
// where the magic number is another, the file is shorter or longer than its header says, or its gzip stream is damaged.
Tensor read_idx(const std::filesystem::path& path);

}  // namespace heft::data
