// Tensors in a file, by name: the safetensors format (https://github.com/huggingface/safetensors), readable by every
// framework that knows it. Eight bytes of header length, a JSON header, then the values, little-endian and row-major.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "core/tensor.h"

namespace heft::train {

struct SafeTensors {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
  // Written: with a checksum. Read: there was one, and it holds.
  bool checksummed = false;
};

// The metadata entry that a checksum is, "HEADER TENSOR TENSOR ...": CRC-32 of zlib, 8 hex digits each, of all bytes up to the
// values, with the digits of this entry as 0, and of each tensor's values in the order of the file. No flipped bit passes, nor
// anything else that changes at most 32 neighbouring bits; other damage passes once in four thousand million times. It is
// against bad disks: who changes a file on purpose can change the checksum too.
inline constexpr const char* kChecksum = "heft.crc32";

// What a file may ask of the reader, beyond the format's own rules.
inline constexpr std::size_t kMaxHeaderBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxTensors = 65536;  // and entries of metadata
inline constexpr std::size_t kMaxNameBytes = 512;

// Atomically (train/atomic_file.h): on any failure the old file stays. Tensors on a device are brought to the CPU.
// Throws ValueError for a name that is reserved, longer than 512 bytes, or not UTF-8, and for tensors or metadata beyond
// the limits above, or metadata under kChecksum; DataError where the system cannot write.
void write_safetensors(const std::string& path, const SafeTensors& contents);

// F16 and BF16 become f32, each value the same. Every claim of the header is checked against the file's real size before memory
// for a value is allocated. Throws DataError, naming the file and the tensor, for: a header over 1 MiB or beyond the end of the
// file, text that is not JSON, is nested otherwise than a header or repeats a key; a dtype heft does not hold, more than 8
// axes, a shape whose bytes are not what its offsets span; values that overlap, leave a hole, or do not end where the file
// ends; a bool that is neither 0 nor 1; a checksum that does not hold.
SafeTensors read_safetensors(const std::string& path);

}  // namespace heft::train
