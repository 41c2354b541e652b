// The convolution kernels of cuda/ against plain loops in f64, and their times. A program of its own:
//   nvcc -O3 -std=c++20 $ARCH --expt-relaxed-constexpr -I. bench/cuda/conv_check.cu $(ls cuda/conv_*.cu) -o conv_check
// with ARCH="-gencode=arch=compute_90a,code=sm_90a -DHEFT_HOPPER" on Hopper, and -arch=native elsewhere.
// Errors are ||out - ref|| / ||ref||; outputs hold NaN before each check. Times are of CUDA graph replays over four sets of
// buffers, the median of seven.
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "cuda/conv.h"
#include "cuda/status.h"

namespace heft::cuda {
// The library's throws, and needs the library.
void check_status(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  std::printf("%s: %s\n", call, cudaGetErrorString(status));
  std::exit(1);
}
}  // namespace heft::cuda

namespace {

using namespace heft::cuda;

template <class T>
struct Buffer {
  explicit Buffer(std::int64_t n) : size(n) {
    HEFT_CUDA(cudaMalloc(&data, static_cast<std::size_t>(std::max<std::int64_t>(n, 1)) * sizeof(T)));
  }
  ~Buffer() { cudaFree(data); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  void fill(unsigned seed, double scale = 1) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<T> host(static_cast<std::size_t>(size));
    // A period of prime length is random enough and quick to draw.
    std::vector<T> period(100003);
    for (T& v : period) v = static_cast<T>(normal(random) * scale);
    for (std::size_t i = 0; i < host.size(); ++i) host[i] = period[i % period.size()];
    HEFT_CUDA(cudaMemcpy(data, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  void poison() { HEFT_CUDA(cudaMemset(data, 0xff, static_cast<std::size_t>(size) * sizeof(T))); }
  std::vector<T> host() const {
    std::vector<T> v(static_cast<std::size_t>(size));
    HEFT_CUDA(cudaMemcpy(v.data(), data, v.size() * sizeof(T), cudaMemcpyDeviceToHost));
    return v;
  }
  std::int64_t size;
  T* data = nullptr;
};

template <class T>
__global__ void reference_forward(ConvShape s, const T* x, const T* weight, const T* bias, double* y) {
  const std::int64_t e = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (e >= s.output_size()) return;
  const int o = static_cast<int>(e % s.o), j = static_cast<int>(e / s.o % s.ow), i = static_cast<int>(e / s.o / s.ow % s.oh);
  const int n = static_cast<int>(e / s.o / s.ow / s.oh), in = s.c / s.groups, group = o / (s.o / s.groups);
  double sum = bias ? bias[o] : 0;
  for (int r = 0; r < s.kh; ++r)
    for (int q = 0; q < s.kw; ++q) {
      const int h = i * s.stride_h - s.pad_h + r * s.dilation_h, w = j * s.stride_w - s.pad_w + q * s.dilation_w;
      if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
      for (int c = 0; c < in; ++c)
        sum += double(x[((std::int64_t{n} * s.h + h) * s.w + w) * s.c + group * in + c]) *
               double(weight[((std::int64_t{o} * s.kh + r) * s.kw + q) * in + c]);
    }
  y[e] = sum;
}

template <class T>
__global__ void reference_backward_input(ConvShape s, const T* dy, const T* weight, double* dx) {
  const std::int64_t e = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (e >= s.input_size()) return;
  const int c = static_cast<int>(e % s.c), w = static_cast<int>(e / s.c % s.w), h = static_cast<int>(e / s.c / s.w % s.h);
  const int n = static_cast<int>(e / s.c / s.w / s.h), in = s.c / s.groups, out = s.o / s.groups, group = c / in;
  double sum = 0;
  for (int r = 0; r < s.kh; ++r)
    for (int q = 0; q < s.kw; ++q) {
      const int i = h + s.pad_h - r * s.dilation_h, j = w + s.pad_w - q * s.dilation_w;
      if (i < 0 || j < 0 || i % s.stride_h || j % s.stride_w || i / s.stride_h >= s.oh || j / s.stride_w >= s.ow) continue;
      for (int o = group * out; o < (group + 1) * out; ++o)
        sum += double(dy[((std::int64_t{n} * s.oh + i / s.stride_h) * s.ow + j / s.stride_w) * s.o + o]) *
               double(weight[((std::int64_t{o} * s.kh + r) * s.kw + q) * in + c % in]);
    }
  dx[e] = sum;
}

// A block for each weight, and for each bias after them.
template <class T>
__global__ void reference_backward_weight(ConvShape s, const T* dy, const T* x, double* dweight, double* dbias) {
  __shared__ double parts[256];
  const int in = s.c / s.groups;
  const std::int64_t e = blockIdx.x, weights = s.weight_size(), pixels = std::int64_t{s.n} * s.oh * s.ow;
  const bool is_bias = e >= weights;
  const int c = static_cast<int>(e % in), q = static_cast<int>(e / in % s.kw), r = static_cast<int>(e / in / s.kw % s.kh);
  const int o = static_cast<int>(is_bias ? e - weights : e / in / s.kw / s.kh), group = o / (s.o / s.groups);
  double sum = 0;
  for (std::int64_t p = threadIdx.x; p < pixels; p += blockDim.x) {
    const int j = static_cast<int>(p % s.ow), i = static_cast<int>(p / s.ow % s.oh), n = static_cast<int>(p / s.ow / s.oh);
    const int h = i * s.stride_h - s.pad_h + r * s.dilation_h, w = j * s.stride_w - s.pad_w + q * s.dilation_w;
    const double d = dy[p * s.o + o];
    if (is_bias) sum += d;
    else if (h >= 0 && h < s.h && w >= 0 && w < s.w)
      sum += d * double(x[((std::int64_t{n} * s.h + h) * s.w + w) * s.c + group * in + c]);
  }
  parts[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (unsigned k = 1; k < blockDim.x; ++k) sum += parts[k];
  (is_bias ? dbias[o] : dweight[e]) = sum;
}

template <class T>
double error(const Buffer<T>& out, const Buffer<double>& reference) {
  const std::vector<T> a = out.host();
  const std::vector<double> b = reference.host();
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (double(a[i]) - b[i]) * (double(a[i]) - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / std::max(norm, 1e-300));
}

cudaStream_t stream;
ConvDevice device;

// Microseconds of a call of f(set), in a graph of 20.
double time(const std::function<void(int)>& f, int sets) {
  constexpr int kCalls = 20;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t run = nullptr;
  f(0);
  HEFT_CUDA(cudaStreamSynchronize(stream));
  HEFT_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  for (int call = 0; call < kCalls; ++call) f(call % sets);
  HEFT_CUDA(cudaStreamEndCapture(stream, &graph));
  HEFT_CUDA(cudaGraphInstantiate(&run, graph, 0));
  cudaEvent_t start = nullptr, stop = nullptr;
  HEFT_CUDA(cudaEventCreate(&start));
  HEFT_CUDA(cudaEventCreate(&stop));
  std::vector<double> times;
  for (int repeat = 0; repeat < 9; ++repeat) {
    HEFT_CUDA(cudaEventRecord(start, stream));
    HEFT_CUDA(cudaGraphLaunch(run, stream));
    HEFT_CUDA(cudaEventRecord(stop, stream));
    HEFT_CUDA(cudaEventSynchronize(stop));
    float ms = 0;
    HEFT_CUDA(cudaEventElapsedTime(&ms, start, stop));
    if (repeat >= 2) times.push_back(ms * 1000.0 / kCalls);
  }
  HEFT_CUDA(cudaEventDestroy(start));
  HEFT_CUDA(cudaEventDestroy(stop));
  HEFT_CUDA(cudaGraphExecDestroy(run));
  HEFT_CUDA(cudaGraphDestroy(graph));
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

enum class Kernels { tensor_cores, plain };

// The calls of CudaBackend; the letter says which kernels took it.
template <class T>
char forward(const ConvShape& s, Kernels kernels, const T* x, const T* w, const T* b, T* y) {
  if constexpr (std::is_same_v<T, float>)
    if (kernels == Kernels::tensor_cores) {
      if (conv_wgmma_forward(s, device, x, w, b, y)) return 'w';
      if (conv_direct_forward(s, device, x, w, b, y)) return 'd';
      if (conv_tile_forward(s, device, x, w, b, y)) return 't';
      if (conv_thin_forward(s, device, x, w, b, y)) return 'k';
    }
  conv_plain_forward<T>(s, device, x, w, b, y);
  return 'p';
}
template <class T>
char backward_input(const ConvShape& s, Kernels kernels, const T* dy, const T* w, T* dx, T* work) {
  if constexpr (std::is_same_v<T, float>)
    if (kernels == Kernels::tensor_cores) {
      if (conv_wgmma_backward_input<float>(s, device, dy, nullptr, dx)) {
        conv_turn_weights(s, device, w, work);
        conv_wgmma_backward_input(s, device, dy, work, dx);
        return 'w';
      }
      if (conv_direct_backward_input(s, device, dy, w, dx)) return 'd';
      if (conv_tile_backward_input(s, device, dy, w, dx)) return 't';
    }
  conv_plain_backward_input<T>(s, device, dy, w, dx);
  return 'p';
}
template <class T>
ConvWeightPlan weight_plan(const ConvShape& s, Kernels kernels, char& letter) {
  ConvWeightPlan plan;
  if (std::is_same_v<T, float> && kernels == Kernels::tensor_cores) {
    if (letter = 'w', plan = conv_wgmma_weight_plan(s, device); plan.floats > 0) return plan;
    if (letter = 't', plan = conv_tile_weight_plan<float>(s, device); plan.floats > 0) return plan;
    if (letter = 'k', plan = conv_thin_weight_plan(s, device); plan.floats > 0) return plan;
  }
  letter = 'p';
  return conv_plain_weight_plan(s, device);
}
template <class T>
void backward_weight(const ConvShape& s, const ConvWeightPlan& plan, char letter, const T* dy, const T* x, T* dw, T* db,
                     T* work) {
  if constexpr (std::is_same_v<T, float>) {
    if (letter == 'w') return conv_wgmma_backward_weight(s, device, plan, dy, x, dw, db, work);
    if (letter == 't') return conv_tile_backward_weight<float>(s, device, plan, dy, x, dw, db, work);
    if (letter == 'k') return conv_thin_backward_weight(s, device, plan, dy, x, dw, db, work);
  }
  conv_plain_backward_weight<T>(s, device, plan, dy, x, dw, db, work);
}

unsigned blocks(std::int64_t n) { return static_cast<unsigned>((n + 255) / 256); }
int failures = 0;
double total = 0;

void row(const char* name, const char* op, char letter, double error, double bound, double us, double flops, double bytes) {
  const bool good = error < bound;
  failures += good ? 0 : 1;
  std::printf("%-34s %-8s %c %9.2e %s", name, op, letter, error, good ? "  " : "! ");
  if (us > 0) std::printf(" %8.2f us %7.1f TFLOP/s %7.0f GB/s", us, flops / us * 1e-6, bytes / us * 1e-3);
  std::printf("\n");
  std::fflush(stdout);
}

template <class T>
void check(const ConvShape& s, Kernels kernels, bool with_bias, bool timed) {
  char name[96];
  std::snprintf(name, sizeof name, "%d>%d %dx%d s%d%d p%d%d d%d g%d n%d %dx%d%s", s.c, s.o, s.kh, s.kw, s.stride_h, s.stride_w,
                s.pad_h, s.pad_w, s.dilation_h, s.groups, s.n, s.h, s.w, with_bias ? " b" : "");
  const double bound = sizeof(T) == 8 ? 1e-14 : kernels == Kernels::plain ? 2e-6 : 6e-4;
  const int sets = timed ? 4 : 1;
  std::vector<std::unique_ptr<Buffer<T>>> x, y;
  for (int k = 0; k < sets; ++k) {
    x.push_back(std::make_unique<Buffer<T>>(s.input_size()));
    y.push_back(std::make_unique<Buffer<T>>(s.output_size()));
  }
  Buffer<T> w(s.weight_size()), b(s.o), dw(s.weight_size()), db(s.o);
  Buffer<double> rx(s.input_size()), ry(s.output_size()), rw(s.weight_size()), rb(s.o);
  w.fill(2, 0.1), b.fill(3);
  for (int k = 0; k < sets; ++k) x[k]->fill(10 + k);
  const T* bias = with_bias ? b.data : nullptr;
  const double flops = 2.0 * static_cast<double>(s.output_size()) * s.taps() * (s.c / s.groups);
  const double bytes = sizeof(T) * static_cast<double>(s.input_size() + s.output_size() + s.weight_size());

  reference_forward<T><<<blocks(s.output_size()), 256, 0, stream>>>(s, x[0]->data, w.data, bias, ry.data);
  y[0]->poison();
  char letter = forward<T>(s, kernels, x[0]->data, w.data, bias, y[0]->data);
  HEFT_CUDA(cudaGetLastError());
  HEFT_CUDA(cudaStreamSynchronize(stream));
  double e = error(*y[0], ry);
  double us = timed ? time([&](int k) { forward<T>(s, kernels, x[k]->data, w.data, bias, y[k]->data); }, sets) : 0;
  total += us;
  row(name, "forward", letter, e, bound, us, flops, bytes);

  for (int k = 0; k < sets; ++k) y[k]->fill(20 + k);
  const ConvWeightPlan plan = weight_plan<T>(s, kernels, letter);
  Buffer<T> workspace(plan.floats), again(s.weight_size());
  reference_backward_weight<T>
      <<<static_cast<unsigned>(s.weight_size() + s.o), 256, 0, stream>>>(s, y[0]->data, x[0]->data, rw.data, rb.data);
  dw.poison(), db.poison(), workspace.poison(), again.poison();
  T* dbias = with_bias ? db.data : nullptr;
  backward_weight<T>(s, plan, letter, y[0]->data, x[0]->data, dw.data, db.data, workspace.data);
  HEFT_CUDA(cudaGetLastError());
  backward_weight<T>(s, plan, letter, y[0]->data, x[0]->data, again.data, nullptr, workspace.data);
  HEFT_CUDA(cudaStreamSynchronize(stream));
  e = error(dw, rw);
  if (std::memcmp(dw.host().data(), again.host().data(), static_cast<std::size_t>(dw.size) * sizeof(T)) != 0) {
    std::printf("the weight's gradient differs from run to run\n");
    ++failures;
  }
  const double bias_error = error(db, rb);
  if (with_bias && !(bias_error < (sizeof(T) == 8 ? 1e-12 : 1e-5))) {
    std::printf("the bias' gradient is off by %.2e\n", bias_error);
    ++failures;
  }
  us = timed ? time([&](int k) { backward_weight<T>(s, plan, letter, y[k]->data, x[k]->data, dw.data, dbias, workspace.data); },
                    sets)
             : 0;
  total += us;
  row(name, "weight", letter, e, bound, us, flops, bytes);

  reference_backward_input<T><<<blocks(s.input_size()), 256, 0, stream>>>(s, y[0]->data, w.data, rx.data);
  Buffer<T> turned(s.weight_size());
  x[0]->poison();
  letter = backward_input<T>(s, kernels, y[0]->data, w.data, x[0]->data, turned.data);
  HEFT_CUDA(cudaGetLastError());
  HEFT_CUDA(cudaStreamSynchronize(stream));
  e = error(*x[0], rx);
  us = timed ? time([&](int k) { backward_input<T>(s, kernels, y[k]->data, w.data, x[k]->data, turned.data); }, sets) : 0;
  total += us;
  row(name, "input", letter, e, bound, us, flops, bytes);
}

// In bf16, beside the reference on the same rounded numbers: what is left is the rounding of what comes out, and of sums in f32
// for the weight's gradient.
std::vector<float> wide(const Buffer<bf16>& b) {
  const std::vector<bf16> v = b.host();
  return {v.begin(), v.end()};
}
double error(const Buffer<bf16>& out, const Buffer<double>& ref) {
  Buffer<float> same(out.size);
  const std::vector<float> v = wide(out);
  HEFT_CUDA(cudaMemcpy(same.data, v.data(), v.size() * sizeof(float), cudaMemcpyHostToDevice));
  return error(same, ref);
}

void check_bf16(const ConvShape& s, bool with_bias, bool timed) {
  if (s.groups != 1 || s.c % 8 != 0 || s.o % 8 != 0) return;
  char name[96];
  std::snprintf(name, sizeof name, "bf16 %d>%d %dx%d s%d%d p%d%d d%d n%d %dx%d%s", s.c, s.o, s.kh, s.kw, s.stride_h, s.stride_w,
                s.pad_h, s.pad_w, s.dilation_h, s.n, s.h, s.w, with_bias ? " b" : "");
  const int sets = timed ? 4 : 1;
  std::vector<std::unique_ptr<Buffer<bf16>>> x, y;
  for (int k = 0; k < sets; ++k) {
    x.push_back(std::make_unique<Buffer<bf16>>(s.input_size()));
    y.push_back(std::make_unique<Buffer<bf16>>(s.output_size()));
    x[k]->fill(10 + k);
  }
  Buffer<float> w(s.weight_size()), b(s.o), dw(s.weight_size()), again(s.weight_size()), db(s.o);
  Buffer<bf16> rounded(s.weight_size()), turned(s.weight_size());
  Buffer<double> rx(s.input_size()), ry(s.output_size()), rw(s.weight_size()), rb(s.o);
  w.fill(2, 0.1), b.fill(3);
  conv_round_weights(s, device, w.data, rounded.data);
  const std::vector<float> wide_w = wide(rounded);
  HEFT_CUDA(cudaMemcpy(w.data, wide_w.data(), wide_w.size() * sizeof(float), cudaMemcpyHostToDevice));
  const auto copy_of = [](const Buffer<bf16>& from) {
    auto to = std::make_unique<Buffer<float>>(from.size);
    const std::vector<float> v = wide(from);
    HEFT_CUDA(cudaMemcpy(to->data, v.data(), v.size() * sizeof(float), cudaMemcpyHostToDevice));
    return to;
  };
  const auto x_wide = copy_of(*x[0]);
  const float* bias = with_bias ? b.data : nullptr;
  const double flops = 2.0 * static_cast<double>(s.output_size()) * s.taps() * s.c;
  const double bytes = 2.0 * static_cast<double>(s.input_size() + s.output_size() + s.weight_size());
  const auto finish = [] {
    HEFT_CUDA(cudaGetLastError());
    HEFT_CUDA(cudaStreamSynchronize(stream));
  };

  reference_forward<float><<<blocks(s.output_size()), 256, 0, stream>>>(s, x_wide->data, w.data, bias, ry.data);
  y[0]->poison();
  const auto forward_once = [&](int k) {
    if (conv_direct_forward(s, device, x[k]->data, w.data, bias, y[k]->data)) return 'd';
    conv_round_weights(s, device, w.data, rounded.data);
    if (conv_wgmma_forward(s, device, x[k]->data, rounded.data, bias, y[k]->data)) return 'w';
    return conv_tile_forward(s, device, x[k]->data, rounded.data, bias, y[k]->data) ? 't' : '-';
  };
  char letter = forward_once(0);
  finish();
  row(name, "forward", letter, error(*y[0], ry), 3e-3, timed ? time(forward_once, sets) : 0, flops, bytes);

  for (int k = 0; k < sets; ++k) y[k]->fill(20 + k);
  const auto y_wide = copy_of(*y[0]);
  reference_backward_weight<float>
      <<<static_cast<unsigned>(s.weight_size() + s.o), 256, 0, stream>>>(s, y_wide->data, x_wide->data, rw.data, rb.data);
  if (const ConvWeightPlan plan = conv_wgmma_weight_bf16_plan(s, device); plan.floats > 0) {
    Buffer<float> workspace(plan.floats);
    dw.poison(), workspace.poison();
    const auto weight_once = [&](int k) {
      conv_wgmma_backward_weight(s, device, plan, y[k]->data, x[k]->data, dw.data, nullptr, workspace.data);
    };
    weight_once(0);
    finish();
    const double e = error(dw, rw);
    row(name, "weight", 'w', e, 1e-5, timed ? time(weight_once, sets) : 0, flops, bytes);
  }
  const ConvWeightPlan plan = conv_tile_weight_plan<bf16>(s, device);
  Buffer<float> workspace(plan.floats);
  dw.poison(), db.poison(), workspace.poison(), again.poison();
  if (plan.floats > 0) {
    float* dbias = with_bias ? db.data : nullptr;
    const auto weight_once = [&](int k) {
      conv_tile_backward_weight<bf16>(s, device, plan, y[k]->data, x[k]->data, dw.data, dbias, workspace.data);
    };
    weight_once(0);
    conv_tile_backward_weight<bf16>(s, device, plan, y[0]->data, x[0]->data, again.data, nullptr, workspace.data);
    finish();
    if (std::memcmp(dw.host().data(), again.host().data(), static_cast<std::size_t>(dw.size) * sizeof(float)) != 0) {
      std::printf("the weight's gradient differs from run to run\n");
      ++failures;
    }
    if (const double bias_error = error(db, rb); with_bias && !(bias_error < 1e-5)) {
      std::printf("the bias' gradient is off by %.2e\n", bias_error);
      ++failures;
    }
    const double e = error(dw, rw);
    row(name, "weight", 't', e, 1e-5, timed ? time(weight_once, sets) : 0, flops, bytes);
  }

  reference_backward_input<float><<<blocks(s.input_size()), 256, 0, stream>>>(s, y_wide->data, w.data, rx.data);
  x[0]->poison();
  const auto input_once = [&](int k) {
    if (conv_direct_backward_input(s, device, y[k]->data, w.data, x[k]->data)) return 'd';
    conv_turn_weights(s, device, w.data, turned.data);
    if (conv_wgmma_backward_input(s, device, y[k]->data, turned.data, x[k]->data)) return 'w';
    return conv_tile_backward_input(s, device, y[k]->data, turned.data, x[k]->data) ? 't' : '-';
  };
  letter = input_once(0);
  finish();
  row(name, "input", letter, error(*x[0], rx), 3e-3, timed ? time(input_once, sets) : 0, flops, bytes);
}

ConvShape shape(int n, int c, int o, int h, int w, int kh, int kw, int sh, int sw, int ph, int pw, int dh = 1, int dw = 1,
                int groups = 1) {
  ConvShape s{n, c, h, w, o, kh, kw, 0, 0, sh, sw, ph, pw, dh, dw, groups};
  s.oh = (h + 2 * ph - dh * (kh - 1) - 1) / sh + 1, s.ow = (w + 2 * pw - dw * (kw - 1) - 1) / sw + 1;
  return s;
}
ConvShape square(int c, int o, int h, int kernel, int stride, int pad) {
  return shape(128, c, o, h, h, kernel, kernel, stride, stride, pad, pad);
}

}  // namespace

// With an argument: the checks alone, for compute-sanitizer.
int main(int argc, char**) {
  HEFT_CUDA(cudaSetDevice(0));
  HEFT_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  cudaDeviceProp properties{};
  HEFT_CUDA(cudaGetDeviceProperties(&properties, 0));
  device = {stream, properties.multiProcessorCount};
  std::printf("%s, %d multiprocessors; kernels: w wgmma, d direct, t tile, k thin, p plain\n", properties.name,
              device.multiprocessors);

  const ConvShape odd[] = {shape(2, 3, 4, 5, 6, 3, 2, 1, 1, 0, 0), shape(2, 16, 16, 5, 5, 3, 3, 1, 1, 1, 1),
                           shape(2, 8, 12, 7, 6, 3, 3, 2, 2, 1, 1), shape(1, 2, 3, 4, 9, 5, 3, 1, 2, 2, 0),
                           shape(2, 3, 4, 6, 6, 3, 3, 1, 1, 2, 2, 2, 2), shape(2, 5, 12, 7, 6, 3, 3, 1, 1, 1, 1),
                           shape(3, 20, 36, 9, 17, 3, 3, 1, 1, 1, 1, 2, 1), shape(3, 12, 5, 7, 6, 1, 1, 1, 1, 0, 0),
                           shape(3, 68, 70, 7, 6, 3, 3, 1, 1, 1, 1), shape(2, 40, 24, 11, 13, 5, 5, 2, 2, 2, 2),
                           shape(5, 36, 44, 3, 3, 3, 3, 1, 1, 1, 1), shape(3, 4, 8, 33, 35, 7, 7, 2, 2, 3, 3),
                           shape(2, 24, 48, 14, 14, 1, 1, 2, 2, 0, 0), shape(2, 16, 16, 9, 8, 3, 3, 2, 1, 0, 1, 1, 2),
                           shape(2, 16, 20, 12, 12, 3, 3, 3, 3, 1, 1), shape(7, 64, 64, 2, 2, 3, 3, 1, 1, 1, 1),
                           shape(3, 16, 32, 9, 21, 3, 3, 1, 1, 1, 1), shape(3, 32, 16, 4, 3, 3, 3, 1, 1, 2, 2),
                           shape(5, 32, 32, 37, 8, 3, 3, 1, 1, 0, 1), shape(33, 16, 16, 40, 13, 3, 3, 1, 1, 1, 0),
                           shape(2, 4, 6, 5, 5, 3, 3, 1, 1, 1, 1, 1, 1, 2), shape(2, 16, 32, 5, 5, 3, 3, 2, 2, 1, 1, 1, 1, 16),
                           // Enough blocks for Hopper's kernels, of every shape they have.
                           shape(129, 64, 64, 7, 6, 3, 3, 1, 1, 1, 1), shape(37, 96, 160, 23, 13, 3, 3, 1, 1, 1, 1),
                           shape(67, 32, 64, 30, 29, 3, 3, 1, 1, 0, 2), shape(131, 128, 72, 9, 15, 3, 2, 1, 1, 1, 1, 2, 1),
                           shape(133, 64, 128, 6, 7, 3, 3, 1, 1, 1, 1), shape(61, 64, 40, 16, 15, 2, 4, 1, 1, 1, 0, 1, 2),
                           shape(131, 32, 24, 15, 14, 3, 3, 1, 1, 1, 1), shape(129, 64, 120, 15, 7, 3, 3, 1, 1, 1, 1)};
  for (const ConvShape& s : odd) check<float>(s, Kernels::tensor_cores, true, false);
  for (const ConvShape& s : odd) check_bf16(s, true, false);
  for (const ConvShape& s : odd) check<float>(s, Kernels::plain, true, false);
  for (const ConvShape& s : odd) check<double>(s, Kernels::plain, true, false);
  if (argc > 1) {
    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
  }
  const auto group = [](const char* name, std::vector<ConvShape> shapes, bool bias) {
    total = 0;
    for (const ConvShape& s : shapes) check<float>(s, Kernels::tensor_cores, bias, true);
    std::printf("-- %s: %.1f us in all\n", name, total);
    for (const ConvShape& s : shapes) check_bf16(s, bias, true);
  };
  group("ResNet-20",
        {square(3, 16, 32, 3, 1, 1), square(16, 16, 32, 3, 1, 1), square(16, 32, 32, 3, 2, 1), square(32, 32, 16, 3, 1, 1),
         square(32, 64, 16, 3, 2, 1), square(64, 64, 8, 3, 1, 1), square(16, 32, 32, 1, 2, 0), square(32, 64, 16, 1, 2, 0)},
        false);
  group("VGG-small",
        {square(3, 64, 32, 3, 1, 1), square(64, 64, 32, 3, 1, 1), square(64, 128, 16, 3, 1, 1), square(128, 128, 16, 3, 1, 1),
         square(128, 256, 8, 3, 1, 1), square(256, 256, 8, 3, 1, 1)},
        false);
  group("LeNet-5", {square(1, 6, 28, 5, 1, 2), square(6, 16, 14, 5, 1, 0)}, true);
  group("ResNet-18",
        {square(64, 128, 32, 3, 2, 1), square(64, 128, 32, 1, 2, 0), square(128, 256, 16, 3, 2, 1),
         square(256, 512, 8, 3, 2, 1), square(512, 512, 4, 3, 1, 1), square(3, 64, 64, 7, 2, 3)},
        false);
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
