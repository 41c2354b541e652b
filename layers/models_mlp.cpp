#include "autograd/elementwise.h"
#include "autograd/shape_ops.h"
#include "core/check.h"
#include "layers/linear.h"
#include "layers/models.h"

namespace heft::models {
namespace {

class Mlp : public Module {
 public:
  explicit Mlp(const MlpOptions& o) {
    check(o.inputs >= 1, "mlp", "expected inputs >= 1; got {}", o.inputs);
    check(o.classes >= 1, "mlp", "expected classes >= 1; got {}", o.classes);
    for (const std::int64_t width : o.hidden) check(width >= 1, "mlp", "expected hidden >= 1; got {}", width);
    std::int64_t in = o.inputs;
    for (const std::int64_t width : o.hidden) {
      append(layer<Linear>({.in_features = in, .out_features = width}));
      in = width;
    }
    append(classifier_layer(in, o.classes, o.normed_classifier));
  }

  Variable forward(const Variable& x) override {
    Variable y = (*layers_.front())(flatten(x));
    for (std::size_t i = 1; i < layers_.size(); ++i) y = (*layers_[i])(relu(y));
    return y;
  }
  std::string describe() const override { return "Mlp"; }

 private:
  void append(ModulePtr layer) {
    layers_.push_back(register_module("fc" + std::to_string(layers_.size() + 1), std::move(layer)));
  }
  std::vector<ModulePtr> layers_;
};

}  // namespace

ModulePtr mlp(const MlpOptions& options) { return std::make_shared<Mlp>(options); }

}  // namespace heft::models
