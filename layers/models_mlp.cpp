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
      hidden_.push_back(register_module(next_name(), layer<Linear>({.in_features = in, .out_features = width})));
      in = width;
    }
    classifier_ = register_module(next_name(), classifier_layer(in, o.classes, o.normed_classifier));
  }

  Variable forward(const Variable& x) override {
    Variable y = flatten(x);
    for (const auto& layer : hidden_) y = layer->forward_relu(y);
    return (*classifier_)(y);
  }
  std::string describe() const override { return "Mlp"; }

 private:
  std::string next_name() const { return "fc" + std::to_string(hidden_.size() + 1); }

  std::vector<std::shared_ptr<Linear>> hidden_;
  ModulePtr classifier_;
};

}  // namespace

ModulePtr mlp(const MlpOptions& options) { return std::make_shared<Mlp>(options); }

}  // namespace heft::models
