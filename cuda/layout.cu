#include "cuda/layout.h"

#include "cuda/bf16.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/map.cuh"

namespace heft {
namespace cuda {
namespace {

class ChannelsLast final : public OpaqueLayout {
 public:
  ChannelsLast(std::size_t elements, bool bf16) : elements_(elements), bf16_(bf16) {}
  Backend& owner() const override { return cuda_backend(); }
  bool equals(const OpaqueLayout& other) const override {
    const auto* same = dynamic_cast<const ChannelsLast*>(&other);
    return same != nullptr && same->elements_ == elements_ && same->bf16_ == bf16_;
  }
  std::size_t buffer_elements() const override { return bf16_ ? elements_ / 2 : elements_; }
  std::string str() const override { return bf16_ ? "channels-last in bf16" : "channels-last"; }
  bool is_bf16() const { return bf16_; }

 private:
  std::size_t elements_;
  bool bf16_;
};

template <class To, class From>
__device__ To converted(From v) {
  if constexpr (std::is_same_v<To, From>) return v;
  else return static_cast<To>(static_cast<float>(v));
}

constexpr int kTile = 32, kRows = 8;

// `images` matrices of (rows, columns) -> (columns, rows), through a tile of shared memory so that both sides move in runs.
template <class From, class To>
__global__ void transpose_kernel(const From* from, To* to, std::int64_t rows, std::int64_t columns) {
  __shared__ To tile[kTile][kTile + 1];
  const std::int64_t image = blockIdx.z, size = rows * columns;
  for (std::int64_t top = std::int64_t{blockIdx.y} * kTile; top < rows; top += std::int64_t{gridDim.y} * kTile) {
    const std::int64_t left = std::int64_t{blockIdx.x} * kTile;
    for (int k = threadIdx.y; k < kTile; k += kRows)
      if (top + k < rows && left + threadIdx.x < columns)
        tile[k][threadIdx.x] = converted<To>(from[image * size + (top + k) * columns + left + threadIdx.x]);
    __syncthreads();
    for (int k = threadIdx.y; k < kTile; k += kRows)
      if (left + k < columns && top + threadIdx.x < rows)
        to[image * size + (left + k) * rows + top + threadIdx.x] = tile[threadIdx.x][k];
    __syncthreads();
  }
}

// The same where one side is short: pixels of an image by a few channels, a pixel a thread.
constexpr int kMostShort = 8;

template <class From, class To>
__global__ void short_rows_kernel(const From* from, To* to, std::int64_t total, int rows, std::int64_t columns) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= total) return;
  const std::int64_t image = i / columns, column = i - image * columns;
  const From* in = from + image * rows * columns + column;
  To* out = to + i * rows;
  To kept[kMostShort];
  for (int r = 0; r < kMostShort; ++r)
    if (r < rows) kept[r] = converted<To>(in[r * columns]);
  for (int r = 0; r < kMostShort; ++r)
    if (r < rows) out[r] = kept[r];
}

template <class From, class To>
void convert_all(const From* from, To* to, std::int64_t n) {
  map(
      "to_layout", n, to, [] __device__(From v) { return converted<To>(v); }, from);
}

template <class From, class To>
void transpose(const From* from, To* to, std::int64_t images, std::int64_t rows, std::int64_t columns) {
  const std::int64_t pixels = images * columns, blocks = (pixels + kThreads - 1) / kThreads;
  if (rows == 1 || columns == 1) {  // the same order
    convert_all(from, to, pixels * rows);
    return;
  }
  if (rows <= kMostShort && blocks < (std::int64_t{1} << 31)) {
    launch(short_rows_kernel<From, To>, static_cast<unsigned>(blocks), kThreads, 0, stream(), from, to, pixels,
           static_cast<int>(rows), columns);
    launched("to_layout");
    return;
  }
  const auto tiles = [](std::int64_t n) { return static_cast<unsigned>((n + kTile - 1) / kTile); };
  constexpr std::int64_t kMost = 65535;  // blocks along y and z
  for (std::int64_t first = 0; first < images; first += kMost) {
    const dim3 grid(tiles(columns), std::min<unsigned>(tiles(rows), kMost),
                    static_cast<unsigned>(std::min(images - first, kMost)));
    const std::int64_t skip = first * rows * columns;
    launch(transpose_kernel<From, To>, grid, dim3(kTile, kRows), 0, stream(), from + skip, to + skip, rows, columns);
    launched("to_layout");
  }
}

bool is_bf16(const Layout& layout) {
  const auto* known = dynamic_cast<const ChannelsLast*>(layout.opaque());
  return known != nullptr && known->is_bf16();
}

// f(From(), To()) for what two images of a dtype hold.
template <class F>
void with_types(const Tensor& from, const Tensor& to, const F& f) {
  if (in_bf16(from)) f(bf16(), float());
  else if (in_bf16(to)) f(float(), bf16());
  else dispatch_all(from.dtype(), [&]<class T>() { f(T(), T()); });
}

}  // namespace

Layout channels_last(const Shape& shape) {
  return Layout(std::make_shared<ChannelsLast>(static_cast<std::size_t>(shape.numel()), false));
}

Layout channels_last_bf16(const Shape& shape) {
  check_shape(shape.rank() == 4 && shape[1] % 8 == 0, "to_layout",
              "(N, C, H, W) with C a multiple of 8 for channels-last in bf16; got " + shape.str());
  return Layout(std::make_shared<ChannelsLast>(static_cast<std::size_t>(shape.numel()), true));
}

bool in_bf16(const Tensor& x) { return is_bf16(x.layout()); }

Tensor as_channels_last(const Tensor& x) {
  return x.is_opaque() && !in_bf16(x) ? x : cuda_backend().to_layout(x, channels_last(x.shape()));
}

Tensor as_bf16(const Tensor& x) { return in_bf16(x) ? x : cuda_backend().to_layout(x, channels_last_bf16(x.shape())); }

}  // namespace cuda

Tensor CudaBackend::to_layout(const Tensor& x, const Layout& layout) {
  if (x.layout() == layout && (x.is_opaque() || x.is_contiguous())) return x;
  const Tensor from = x.is_opaque() || x.is_contiguous() ? x : Tensor::empty(x.shape(), x.dtype(), x.device()).copy_(x);
  if (from.layout() == layout) return from;
  const Shape& s = x.shape();
  cuda::check_shape(s.rank() == 4, "to_layout", "(N, C, H, W) for layout channels-last; got " + s.str());
  Tensor y = Tensor::empty(s, x.dtype(), x.device(), layout);
  if (s.numel() == 0) return y;
  cuda::with_types(from, y, [&]<class From, class To>(From, To) {
    const From* p = cuda::values<From>(from);
    To* q = cuda::values<To>(y);
    if (from.is_opaque() && y.is_opaque()) cuda::convert_all(p, q, s.numel());
    else if (y.is_opaque()) cuda::transpose(p, q, s[0], s[1], s[2] * s[3]);
    else cuda::transpose(p, q, s[0], s[2] * s[3], s[1]);
  });
  return y;
}

}  // namespace heft
