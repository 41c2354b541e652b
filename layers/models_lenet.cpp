#include "autograd/shape_ops.h"
#include "core/check.h"
#include "layers/conv.h"
#include "layers/linear.h"
#include "layers/models.h"
#include "layers/pool.h"

namespace heft::models {
namespace {

class LeNet5 : public Module {
 public:
  explicit LeNet5(const LeNet5Options& o) {
    check(o.classes >= 1, "lenet5", "expected classes >= 1; got {}", o.classes);
    check(o.channels >= 1, "lenet5", "expected channels >= 1; got {}", o.channels);
    check(o.image_size >= 12, "lenet5", "expected image_size >= 12; got {}", o.image_size);
    const std::int64_t side = (o.image_size / 2 - 4) / 2;
    conv1_ = register_module("conv1", layer<Conv2d>({.in_channels = o.channels, .out_channels = 6, .kernel = 5, .padding = 2}));
    pool1_ = register_module("pool1", layer<MaxPool2d>());
    conv2_ = register_module("conv2", layer<Conv2d>({.in_channels = 6, .out_channels = 16, .kernel = 5}));
    pool2_ = register_module("pool2", layer<MaxPool2d>());
    fc1_ = register_module("fc1", layer<Linear>({.in_features = 16 * side * side, .out_features = 120}));
    fc2_ = register_module("fc2", layer<Linear>({.in_features = 120, .out_features = 84}));
    fc3_ = register_module("fc3", classifier_layer(84, o.classes, o.normed_classifier));
  }

  Variable forward(const Variable& x) override {
    Variable y = (*pool1_)(conv1_->forward_relu(x));
    y = (*pool2_)(conv2_->forward_relu(y));
    return (*fc3_)(fc2_->forward_relu(fc1_->forward_relu(flatten(y))));
  }
  std::string describe() const override { return "LeNet5"; }

 private:
  std::shared_ptr<Conv2d> conv1_, conv2_;
  std::shared_ptr<Linear> fc1_, fc2_;
  ModulePtr pool1_, pool2_, fc3_;
};

}  // namespace

ModulePtr lenet5(const LeNet5Options& options) { return std::make_shared<LeNet5>(options); }

}  // namespace heft::models
