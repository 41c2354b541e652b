// The loops behind resize(), for pixels that are not in a Tensor too. Internal.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/resize.h"

namespace heft::data {

// For each pixel of a side of the result: which pixels of the source it is made of, and by which weights.
struct ResizeTaps {
  struct Window {
    std::int64_t begin = 0, count = 0;
    std::size_t weights = 0;  // where its weights begin
  };
  std::vector<Window> windows;
  std::vector<float> weights;
};
// `source` pixels, of which [begin, begin + extent) becomes `size` pixels.
ResizeTaps resize_taps(std::int64_t source, double begin, double extent, std::int64_t size);

// Reused between images, so that a thread allocates once.
struct ResizeScratch {
  std::vector<float> lines;
};

// Source pixel (y, x) of channel c is from[y * row + x * pixel + c]; result (c, y, x), dense, with taps.windows.size() rows and
// columns. T: std::uint8_t or float, in and out.
template <class T>
void resize_loop(const T* from, std::int64_t row, std::int64_t pixel, std::int64_t channels, const ResizeTaps& vertical,
                 const ResizeTaps& horizontal, T* to, ResizeScratch& scratch);

}  // namespace heft::data
