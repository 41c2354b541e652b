// What the kernel of conv_tile.cuh computes, apart from how it is cut into blocks. Internal to cuda/.
#pragma once

#include <vector>

#include "cuda/conv.h"
#include "cuda/conv_tile.cuh"

namespace heft::cuda {

struct TileProblem {
  TilePlan plan{};  // operands, sizes, steps, classes
  struct Tap {
    int row, column, weight;  // row and column count tile rows and columns from the class' smallest
  };
  std::vector<Tap> taps;
  int classes = 1;
  int last_row = 0, last_column = 0;  // the largest of all taps
  bool column = false;                // taps come in threes: rows 0, 1, 2 of a column
};

// Fills in everything but the operands. False: more taps or classes than a plan holds.
bool describe_forward(const ConvShape& s, TileProblem& problem);
bool describe_backward_input(const ConvShape& s, TileProblem& problem);

// Cuts the problem into tiles of `lane_groups` groups of 16 outputs, at least `warp_rows` of them below one another. A tap's
// offset is left in pixels, its weight as r * kw + s.
void cut_into_tiles(TileProblem& problem, int lane_groups, int warp_rows);
// How many tiles cover the images of a batch, after cut_into_tiles; each image, or group of them, has tiles_h * tiles_w.
int image_tiles(const TilePlan& plan);

}  // namespace heft::cuda
