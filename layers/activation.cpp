#include "layers/activation.h"

#include <cmath>

#include "autograd/elementwise.h"
#include "core/check.h"

namespace heft {

Activation::Activation(std::string name, Function function) : name_(std::move(name)), function_(std::move(function)) {
  check(function_ != nullptr, "Activation", "expected a function for '{}'; got none", name_);
}

ReLU::ReLU() : Activation("ReLU", relu) {}
GELU::GELU() : Activation("GELU", gelu) {}
SiLU::SiLU() : Activation("SiLU", silu) {}
Sigmoid::Sigmoid() : Activation("Sigmoid", sigmoid) {}
Tanh::Tanh() : Activation("Tanh", [](const Variable& x) { return tanh(x); }) {}
Softplus::Softplus() : Activation("Softplus", softplus) {}

LeakyReLU::LeakyReLU(const Options& options)
    : Activation(fmt::format("LeakyReLU({})", options.slope),
                 [slope = options.slope](const Variable& x) { return leaky_relu(x, slope); }) {
  check(std::isfinite(options.slope), "LeakyReLU", "expected a finite slope; got {}", options.slope);
}

}  // namespace heft
