// The least time that a device's arithmetic and memory allow a training step, for a table beside what the step takes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/limit/rates.h"
#include "core/tensor.h"
#include "layers/module.h"

namespace heft::bench {

// What a training step has to do at the least. Multiplications and additions are one operation each. Counted are convolutions
// and linear layers: forward, weight gradient, and input gradient but for the images'. Of memory: results of convolutions,
// linear layers, poolings and sums are written once, and read once forward and once backward; their gradients are written and
// read once; images are read twice. Batch norm, ReLU and the like are taken to be done on the way. Of a parameter: read forward
// and backward, its gradient written and read, itself and its momentum read and written.
struct StepWork {
  double operations = 0;
  double activations = 0, images = 0, parameters = 0;  // elements

  double bytes_f32() const;
  // Activations, their gradients and copies of the parameters of 2 bytes; parameters, gradients and momentum of 4.
  double bytes_bf16() const;
};
StepWork step_work(Module& net, const Shape& image, std::int64_t batch);

struct FloorRequest {
  std::string model;
  std::int64_t batch = 0;
  StepWork work;
};
// Milliseconds of a step as it is, where that can be said.
using StepTime = std::function<std::optional<double>(const FloorRequest&, const std::string& precision)>;
// Markdown: the rates, then a row for each request and precision ("tf32", "bf16").
std::string floor_table(const Rates& rates, const std::vector<FloorRequest>& requests,
                        const std::vector<std::string>& precisions, const StepTime& step_time);

}  // namespace heft::bench
