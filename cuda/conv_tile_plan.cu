#include "cuda/conv_tile_plan.h"

#include <numeric>

namespace heft::cuda {
namespace {

int round_up(int n, int to) { return (n + to - 1) / to * to; }

// Taps of one axis that outputs of remainder `rest` meet: input position = output index * step + tap's shift.
struct AxisTap {
  int shift, weight;
};
std::vector<AxisTap> backward_taps(int kernel, int stride, int pad, int dilation, int rest) {
  std::vector<AxisTap> taps;
  for (int r = kernel - 1; r >= 0; --r)
    if ((rest + pad - r * dilation) % stride == 0) taps.push_back({(rest + pad - r * dilation) / stride, r});
  return taps;
}

void add_class(TileProblem& problem, const std::vector<AxisTap>& rows, const std::vector<AxisTap>& columns, int kernel_w,
               TileClass shape) {
  shape.first_tap = static_cast<int>(problem.taps.size());
  shape.taps = static_cast<int>(rows.size() * columns.size());
  if (shape.taps > 0) shape.origin_h = rows.front().shift, shape.origin_w = columns.front().shift;
  const TilePlan& p = problem.plan;
  for (const AxisTap& s : columns)
    for (const AxisTap& r : rows) {
      const int row = (r.shift - rows.front().shift) / p.load_h, column = (s.shift - columns.front().shift) / p.load_w;
      problem.taps.push_back({row, column, r.weight * kernel_w + s.weight});
      problem.last_row = std::max(problem.last_row, row);
      problem.last_column = std::max(problem.last_column, column);
    }
  problem.plan.classes[problem.classes++] = shape;
}

}  // namespace

bool describe_forward(const ConvShape& s, TileProblem& problem) {
  if (s.taps() > kMaxTaps) return false;
  TilePlan& p = problem.plan;
  p.images = s.n, p.in_h = s.h, p.in_w = s.w, p.in_c = s.c, p.out_h = s.oh, p.out_w = s.ow, p.out_c = s.o;
  p.weight_taps = s.taps(), p.weight_pitch = s.taps() * s.c;
  // Rows that no tap meets, as of a 1x1 kernel of stride 2, are not loaded.
  p.load_h = s.kh > 1 ? std::gcd(s.stride_h, s.dilation_h) : s.stride_h;
  p.load_w = s.kw > 1 ? std::gcd(s.stride_w, s.dilation_w) : s.stride_w;
  p.step_h = s.stride_h / p.load_h, p.step_w = s.stride_w / p.load_w;
  p.out_step_h = p.out_step_w = 1;
  std::vector<AxisTap> rows, columns;
  for (int r = 0; r < s.kh; ++r) rows.push_back({r * s.dilation_h - s.pad_h, r});
  for (int c = 0; c < s.kw; ++c) columns.push_back({c * s.dilation_w - s.pad_w, c});
  problem.classes = 0;
  add_class(problem, rows, columns, s.kw, TileClass{.grid_h = s.oh, .grid_w = s.ow});
  problem.column = s.kh == 3 && p.step_h == 1 && s.dilation_h == p.load_h;
  return true;
}

bool describe_backward_input(const ConvShape& s, TileProblem& problem) {
  if (s.taps() > kMaxTaps || s.stride_h * s.stride_w > kMaxClasses) return false;
  TilePlan& p = problem.plan;
  p.images = s.n, p.in_h = s.oh, p.in_w = s.ow, p.in_c = s.o, p.out_h = s.h, p.out_w = s.w, p.out_c = s.c;
  p.weight_taps = s.taps(), p.weight_pitch = s.taps() * s.c;
  p.load_h = p.load_w = p.step_h = p.step_w = 1;
  p.out_step_h = s.stride_h, p.out_step_w = s.stride_w;
  problem.classes = 0;
  // Descending remainders: those with the most taps, of a 3x3 kernel of stride 2 and padding 1, start first.
  for (int a = s.stride_h - 1; a >= 0; --a)
    for (int b = s.stride_w - 1; b >= 0; --b)
      add_class(problem, backward_taps(s.kh, s.stride_h, s.pad_h, s.dilation_h, a),
                backward_taps(s.kw, s.stride_w, s.pad_w, s.dilation_w, b), s.kw,
                TileClass{.a = a,
                          .b = b,
                          .grid_h = std::max(0, (s.h - a + s.stride_h - 1) / s.stride_h),
                          .grid_w = std::max(0, (s.w - b + s.stride_w - 1) / s.stride_w)});
  problem.column = s.kh == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1;
  return true;
}

void cut_into_tiles(TileProblem& problem, int lane_groups, int warp_rows) {
  TilePlan& p = problem.plan;
  int grid_h = 0, grid_w = 0;
  for (int k = 0; k < problem.classes; ++k)
    grid_h = std::max(grid_h, p.classes[k].grid_h), grid_w = std::max(grid_w, p.classes[k].grid_w);
  p.log_lanes = grid_w <= 4 ? 2 : round_up(grid_w, 8) < round_up(grid_w, 16) ? 3 : 4;
  p.rows = warp_rows;
  while (p.rows < grid_h && p.rows < lane_groups) p.rows *= 2;
  const int groups = lane_groups / p.rows;
  p.groups_w = 1;
  while (p.groups_w < groups && p.groups_w << p.log_lanes < grid_w) p.groups_w *= 2;
  p.groups_n = groups / p.groups_w;
  p.tile_h = (p.rows - 1) * p.step_h + problem.last_row + 1;
  p.tile_w = (p.columns_per_tile() - 1) * p.step_w + problem.last_column + 1;
  p.phase_cols = (p.tile_w + p.step_w - 1) / p.step_w;
  p.row_pitch = p.step_w * p.phase_cols;
  p.tile_pixels = p.images_per_tile() * p.tile_h * p.row_pitch;
  p.tiles_h = (grid_h + p.rows - 1) / p.rows;
  p.tiles_w = (grid_w + p.columns_per_tile() - 1) / p.columns_per_tile();
  p.by_row_pitch = FastDivide(p.row_pitch), p.by_tile_h = FastDivide(p.tile_h), p.by_phase_cols = FastDivide(p.phase_cols);
  p.by_tiles_w = FastDivide(p.tiles_w);
  for (std::size_t k = 0; k < problem.taps.size(); ++k) {
    const TileProblem::Tap& tap = problem.taps[k];
    p.taps[k].offset = tap.row * p.row_pitch + tap.column % p.step_w * p.phase_cols + tap.column / p.step_w;
    p.taps[k].weight = tap.weight;
  }
}

int image_tiles(const TilePlan& p) { return (p.images + p.images_per_tile() - 1) / p.images_per_tile(); }

}  // namespace heft::cuda
