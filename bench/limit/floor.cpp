#include "bench/limit/floor.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "autograd/trace.h"
#include "core/check.h"

namespace heft::bench {
namespace {

// Results that have to be in memory whole: what reads them cannot make them again.
bool is_kept(std::string_view op) {
  return op == "conv2d" || op == "linear" || op == "max_pool2d" || op == "avg_pool2d" || op == "add";
}

}  // namespace

double StepWork::bytes_f32() const { return 4 * (5 * activations + 2 * images + 8 * parameters); }
double StepWork::bytes_bf16() const { return 2 * (5 * activations + 2 * images + 3 * parameters) + 4 * 6 * parameters; }

// Of one image, times the batch: nothing here depends on a batch otherwise.
StepWork step_work(Module& net, const Shape& image, std::int64_t batch) {
  const auto n = static_cast<double>(batch);
  StepWork work{.images = n * static_cast<double>(image.numel())};
  for (const Variable& parameter : net.parameters()) work.parameters += static_cast<double>(parameter.value().numel());
  bool first = true;  // its input is the images, which have no gradient
  const auto see = [&](const Operation& operation) {
    const std::string_view op = operation.op;
    const auto results = static_cast<double>(operation.result.value().numel());
    if (is_kept(op)) work.activations += n * results;
    if (op != "conv2d" && op != "linear") return;
    const Shape& weight = operation.inputs[1].shape();
    const double operations = 2 * n * results * static_cast<double>(weight.numel()) / static_cast<double>(weight[0]);
    work.operations += (first ? 2 : 3) * operations;
    first = false;
  };
  const NoGrad no_graph;
  net.eval();
  const OperationObserver observer(see);
  net(Tensor::zeros(Shape{1, image[0], image[1], image[2]}));
  return work;
}

std::string floor_table(const Rates& rates, const std::vector<FloorRequest>& requests,
                        const std::vector<std::string>& precisions, const StepTime& step_time) {
  std::string text = fmt::format(
      "| what this device does | |\n|---|---|\n"
      "| large matrix product, TF32 | {:.0f} TFLOP/s |\n| large matrix product, BF16 | {:.0f} TFLOP/s |\n"
      "| large copy, read and written | {:.0f} GB/s |\n| from an empty kernel to the next in a graph | {:.2f} us |\n\n",
      rates.tf32 / 1e12, rates.bf16 / 1e12, rates.copy / 1e9, rates.launch * 1e6);
  text +=
      "| model | batch | precision | GFLOP | MB | us by operations | us by bytes | floor, the larger | heft us | times the "
      "floor |\n"
      "|---|---|---|---|---|---|---|---|---|---|\n";
  for (const FloorRequest& request : requests)
    for (const std::string& precision : precisions) {
      const bool half = precision == "bf16";
      const double bytes = half ? request.work.bytes_bf16() : request.work.bytes_f32();
      const double by_operations = request.work.operations / (half ? rates.bf16 : rates.tf32) * 1e6;
      const double by_bytes = bytes / rates.copy * 1e6, floor = std::max(by_operations, by_bytes);
      const std::optional<double> step = step_time(request, precision);
      text +=
          fmt::format("| {} | {} | {} | {:.2f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {} | {} |\n", request.model, request.batch,
                      precision, request.work.operations / 1e9, bytes / 1e6, by_operations, by_bytes, floor,
                      step ? fmt::format("{:.1f}", *step * 1e3) : "–", step ? fmt::format("{:.1f}", *step * 1e3 / floor) : "–");
    }
  return text +
         "\nGFLOP: convolutions and linear layers, forward, weight gradient, and input gradient but the images'. MB: results "
         "of "
         "convolutions, linear layers, poolings and sums\nwritten once, read once forward and once backward, their gradients "
         "written and read once; images read twice; parameters read twice, their gradients written\nand read, parameters and "
         "momentum read and written. In BF16 activations, their gradients and copies of the parameters have 2 bytes, all else "
         "4. "
         "What fits into\nthe L2 cache need not cross memory, so that a single layer can be faster than its bytes.\n";
}

}  // namespace heft::bench
