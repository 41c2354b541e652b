// Whether a GPU can be used, and how it computes. Every build has these functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace heft::cuda {

// True where Device::cuda() can hold tensors and compute on them.
bool is_available();
// GPUs that the CUDA runtime sees; 0 in a build without CUDA. heft computes on the first of them: CUDA_VISIBLE_DEVICES chooses.
int device_count();
// Of the GPU that heft computes on; 0 in a build without CUDA. DeviceError where no GPU can be used.
int multiprocessors();
// One sentence, e.g. "built without CUDA; configure with -DHEFT_CUDA=ON". Empty where is_available().
std::string why_unavailable();

// How f32 matrix products and convolutions multiply. tf32, the default: on tensor cores, each factor rounded to 11 significant
// bits and sums in f32, a relative error of about 3e-4; f32: exact products, and several times slower. bf16, mixed precision:
// convolutions of channels in multiples of 8 round their factors to 8 significant bits and keep the images that they leave so,
// and so do batch norm, pooling, ReLU and sums behind them (1 to 4 input channels multiply in TF32); cuBLAS may round its
// factors likewise; parameters, their gradients and momentum, statistics, and what comes of linear layers and losses stay f32,
// log u f64. A recorded step (train/recorded_step.h) keeps the precision that it was recorded in.
enum class Precision { tf32, f32, bf16 };
void set_precision(Precision precision);
Precision precision();
// By its name, one of these; ValueError for another.
Precision precision_named(std::string_view name);
const std::vector<std::string>& precision_names();

// Waits until everything that was asked of the GPU is done; nothing without one. Throws DeviceError where a kernel has failed.
void synchronize();

}  // namespace heft::cuda
