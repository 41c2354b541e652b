#include "cuda/layout.h"

#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"

namespace heft {
namespace cuda {
namespace {

class ChannelsLast final : public OpaqueLayout {
 public:
  explicit ChannelsLast(std::size_t elements) : elements_(elements) {}
  Backend& owner() const override { return cuda_backend(); }
  bool equals(const OpaqueLayout& other) const override {
    const auto* same = dynamic_cast<const ChannelsLast*>(&other);
    return same != nullptr && same->elements_ == elements_;
  }
  std::size_t buffer_elements() const override { return elements_; }
  std::string str() const override { return "channels-last"; }

 private:
  std::size_t elements_;
};

constexpr int kTile = 32, kRows = 8;

// `images` matrices of (rows, columns) -> (columns, rows), through a tile of shared memory so that both sides move in runs.
template <class T>
__global__ void transpose_kernel(const T* from, T* to, std::int64_t rows, std::int64_t columns) {
  __shared__ T tile[kTile][kTile + 1];
  const std::int64_t image = blockIdx.z, size = rows * columns;
  for (std::int64_t top = std::int64_t{blockIdx.y} * kTile; top < rows; top += std::int64_t{gridDim.y} * kTile) {
    const std::int64_t left = std::int64_t{blockIdx.x} * kTile;
    for (int k = threadIdx.y; k < kTile; k += kRows)
      if (top + k < rows && left + threadIdx.x < columns)
        tile[k][threadIdx.x] = from[image * size + (top + k) * columns + left + threadIdx.x];
    __syncthreads();
    for (int k = threadIdx.y; k < kTile; k += kRows)
      if (left + k < columns && top + threadIdx.x < rows)
        to[image * size + (left + k) * rows + top + threadIdx.x] = tile[threadIdx.x][k];
    __syncthreads();
  }
}

// The same where one side is short: pixels of an image by a few channels, a pixel a thread.
constexpr int kMostShort = 8;

template <class T>
__global__ void short_rows_kernel(const T* from, T* to, std::int64_t total, int rows, std::int64_t columns) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= total) return;
  const std::int64_t image = i / columns, column = i - image * columns;
  const T* in = from + image * rows * columns + column;
  T* out = to + i * rows;
  T kept[kMostShort];
  for (int r = 0; r < kMostShort; ++r)
    if (r < rows) kept[r] = in[r * columns];
  for (int r = 0; r < kMostShort; ++r)
    if (r < rows) out[r] = kept[r];
}

void transpose(const Tensor& from, Tensor& to, std::int64_t images, std::int64_t rows, std::int64_t columns) {
  if (from.numel() == 0) return;
  if (rows == 1 || columns == 1) {  // the same bytes
    const auto bytes = static_cast<std::size_t>(from.numel()) * size_of(from.dtype());
    HEFT_CUDA(cudaMemcpyAsync(to.mutable_raw(), from.raw(), bytes, cudaMemcpyDeviceToDevice, stream()));
    return;
  }
  const std::int64_t pixels = images * columns, blocks = (pixels + kThreads - 1) / kThreads;
  if (rows <= kMostShort && blocks < (std::int64_t{1} << 31)) {
    dispatch_all(from.dtype(), [&]<class T>() {
      launch(short_rows_kernel<T>, static_cast<unsigned>(blocks), kThreads, 0, stream(), values<T>(from), values<T>(to), pixels,
             static_cast<int>(rows), columns);
    });
    launched("to_layout");
    return;
  }
  const auto tiles = [](std::int64_t n) { return static_cast<unsigned>((n + kTile - 1) / kTile); };
  constexpr std::int64_t kMost = 65535;  // blocks along y and z
  dispatch_all(from.dtype(), [&]<class T>() {
    for (std::int64_t first = 0; first < images; first += kMost) {
      const dim3 grid(tiles(columns), std::min<unsigned>(tiles(rows), kMost),
                      static_cast<unsigned>(std::min(images - first, kMost)));
      const std::int64_t skip = first * rows * columns;
      launch(transpose_kernel<T>, grid, dim3(kTile, kRows), 0, stream(), values<T>(from) + skip, values<T>(to) + skip, rows,
             columns);
      launched("to_layout");
    }
  });
}

}  // namespace

Layout channels_last(const Shape& shape) {
  return Layout(std::make_shared<ChannelsLast>(static_cast<std::size_t>(shape.numel())));
}

Tensor as_channels_last(const Tensor& x) { return x.is_opaque() ? x : cuda_backend().to_layout(x, channels_last(x.shape())); }

}  // namespace cuda

Tensor CudaBackend::to_layout(const Tensor& x, const Layout& layout) {
  if (x.is_opaque() == layout.is_opaque() && (x.is_opaque() || x.is_contiguous())) return x;
  const Tensor dense = x.is_opaque() || x.is_contiguous() ? x : Tensor::empty(x.shape(), x.dtype(), x.device()).copy_(x);
  if (dense.is_opaque() == layout.is_opaque()) return dense;
  const Shape& s = x.shape();
  cuda::check_shape(s.rank() == 4, "to_layout", "(N, C, H, W) for layout channels-last; got " + s.str());
  Tensor y = Tensor::empty(s, x.dtype(), x.device(), layout);
  if (layout.is_opaque()) cuda::transpose(dense, y, s[0], s[1], s[2] * s[3]);
  else cuda::transpose(dense, y, s[0], s[2] * s[3], s[1]);
  return y;
}

}  // namespace heft
