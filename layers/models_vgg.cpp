#include "autograd/shape_ops.h"
#include "core/check.h"
#include "layers/activation.h"
#include "layers/conv.h"
#include "layers/linear.h"
#include "layers/models.h"
#include "layers/norm.h"
#include "layers/pool.h"
#include "layers/sequential.h"

namespace heft::models {
namespace {

class VggSmall : public Module {
 public:
  explicit VggSmall(const VggSmallOptions& o) {
    check(o.classes >= 1, "vgg_small", "expected classes >= 1; got {}", o.classes);
    check(o.channels >= 1, "vgg_small", "expected channels >= 1; got {}", o.channels);
    check(o.image_size >= 8, "vgg_small", "expected image_size >= 8; got {}", o.image_size);
    features_ = register_module("features", layer<Sequential>());
    std::int64_t in = o.channels;
    for (const std::int64_t out : {64, 128, 256}) {
      for (const std::int64_t from : {in, out})
        features_->append(layer<Conv2d>({.in_channels = from, .out_channels = out, .kernel = 3, .padding = 1, .bias = false}))
            .append(layer<BatchNorm2d>({.channels = out}))
            .append(layer<ReLU>());
      features_->append(layer<MaxPool2d>());
      in = out;
    }
    const std::int64_t side = o.image_size / 8;
    classifier_ = register_module("classifier", classifier_layer(in * side * side, o.classes, o.normed_classifier));
  }

  Variable forward(const Variable& x) override { return (*classifier_)(flatten((*features_)(x))); }
  std::string describe() const override { return "VggSmall"; }

 private:
  std::shared_ptr<Sequential> features_;
  ModulePtr classifier_;
};

}  // namespace

ModulePtr vgg_small(const VggSmallOptions& options) { return std::make_shared<VggSmall>(options); }

}  // namespace heft::models
