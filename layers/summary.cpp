#include "layers/summary.h"

#include <algorithm>
#include <array>

#include "core/check.h"

namespace heft {
namespace {

std::int64_t bytes_of(const Tensor& x) { return x.numel() * static_cast<std::int64_t>(size_of(x.dtype())); }

// 1187274 -> "1,187,274".
std::string grouped(std::int64_t n) {
  std::string digits = std::to_string(n);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  return digits;
}

std::string memory(std::int64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  if (bytes < 1024 * 1024) return fmt::format("{:.1f} KiB", static_cast<double>(bytes) / 1024);
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1024 * 1024));
}

// Evaluation mode for as long as it lives; then every module is as it was.
class EvaluationScope {
 public:
  explicit EvaluationScope(Module& net) : net_(net) {
    for (const auto& [name, module] : net.named_modules()) was_training_.push_back(module->training());
    net.eval();
  }
  ~EvaluationScope() {
    // Outermost first, so that the modules within have the last word.
    std::size_t i = 0;
    for (const auto& [name, module] : net_.named_modules()) module->train(was_training_[i++]);
  }
  EvaluationScope(const EvaluationScope&) = delete;
  EvaluationScope& operator=(const EvaluationScope&) = delete;

 private:
  Module& net_;
  std::vector<bool> was_training_;
};

}  // namespace

Summary summarize(Module& net, const Shape& input) {
  Summary summary;
  const std::vector<Variable> parameters = net.parameters();
  for (const Variable& p : parameters) {
    summary.parameters += p.value().numel();
    summary.trainable += p.requires_grad() ? p.value().numel() : 0;
    summary.parameter_bytes += bytes_of(p.value());
  }
  for (const auto& [name, buffer] : net.named_buffers()) summary.parameter_bytes += bytes_of(*buffer);

  std::map<const Module*, Tensor> results;
  {
    const NoGrad no_grad;
    const EvaluationScope evaluation(net);
    const ForwardObserver watch([&](const Module& module, const Variable& y) { results[&module] = y.value(); });
    const DType dtype = parameters.empty() ? DType::f32 : parameters.front().dtype();
    const Device device = parameters.empty() ? Device::cpu() : parameters.front().device();
    net(Tensor::zeros(input, dtype, device));
  }
  for (const auto& [name, module] : net.named_modules()) {
    const auto found = results.find(module);
    if (found == results.end()) continue;
    summary.rows.push_back({.name = name,
                            .layer = module->describe(),
                            .output = found->second.shape(),
                            .parameters = module->parameter_count(),
                            .output_bytes = bytes_of(found->second),
                            .leaf = module->named_modules().size() == 1});
    if (summary.rows.back().leaf) summary.activation_bytes += summary.rows.back().output_bytes;
  }
  return summary;
}

std::string Summary::str() const {
  std::vector<std::array<std::string, 5>> cells = {{"name", "layer", "output", "parameters", "memory"}};
  for (const SummaryRow& row : rows)
    if (row.leaf) cells.push_back({row.name, row.layer, row.output.str(), grouped(row.parameters), memory(row.output_bytes)});
  std::array<std::size_t, 5> widths{};
  for (const auto& line : cells)
    for (std::size_t c = 0; c < line.size(); ++c) widths[c] = std::max(widths[c], line[c].size());
  std::string text;
  for (const auto& line : cells)
    text += fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>{}}  {:>{}}\n", line[0], widths[0], line[1], widths[1], line[2], widths[2],
                        line[3], widths[3], line[4], widths[4]);
  text += fmt::format("{} parameters, {} of them trainable, {} with buffers; {} of activations\n", grouped(parameters),
                      grouped(trainable), memory(parameter_bytes), memory(activation_bytes));
  return text;
}

}  // namespace heft
