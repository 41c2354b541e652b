#include "autograd/images.h"
#include "core/check.h"
#include "layers/conv.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/models.h"
#include "layers/norm.h"
#include "layers/pool.h"
#include "layers/sequential.h"

namespace heft::models {
namespace {

std::shared_ptr<Conv2d> conv3x3(std::int64_t in, std::int64_t out, std::int64_t stride) {
  return layer<Conv2d>({.in_channels = in, .out_channels = out, .kernel = 3, .stride = stride, .padding = 1, .bias = false});
}
std::shared_ptr<BatchNorm2d> batch_norm(std::int64_t channels) { return layer<BatchNorm2d>({.channels = channels}); }

enum class Shortcut { subsample, projection };  // options A and B of He et al. 2016

// ReLU(bn2(conv2(ReLU(bn1(conv1(x))))) + shortcut(x)).
class BasicBlock : public Module {
 public:
  BasicBlock(std::int64_t in, std::int64_t out, std::int64_t stride, Shortcut shortcut)
      : changes_shape_(stride != 1 || in != out), new_channels_(out - in), stride_(stride) {
    conv1_ = register_module("conv1", conv3x3(in, out, stride));
    bn1_ = register_module("bn1", batch_norm(out));
    conv2_ = register_module("conv2", conv3x3(out, out, 1));
    bn2_ = register_module("bn2", batch_norm(out));
    if (changes_shape_ && shortcut == Shortcut::projection)
      downsample_ = register_module(
          "downsample",
          sequential({layer<Conv2d>({.in_channels = in, .out_channels = out, .kernel = 1, .stride = stride, .bias = false}),
                      batch_norm(out)}));
  }

  Variable forward(const Variable& x) override {
    const Variable y = bn1_->forward_relu(*conv1_, x);
    return bn2_->forward_relu(*conv2_, y, downsample_ ? (*downsample_)(x) : changes_shape_ ? subsampled(x) : x);
  }
  std::string describe() const override { return "BasicBlock"; }

 private:
  Variable subsampled(const Variable& x) const {
    const std::int64_t before = new_channels_ / 2;
    return subsample(x, stride_, before, new_channels_ - before);
  }

  bool changes_shape_;
  std::int64_t new_channels_;
  std::int64_t stride_;
  std::shared_ptr<Conv2d> conv1_, conv2_;
  std::shared_ptr<BatchNorm2d> bn1_, bn2_;
  ModulePtr downsample_;
};

ModulePtr stage(std::int64_t in, std::int64_t out, int blocks, std::int64_t stride, Shortcut shortcut) {
  auto all = layer<Sequential>();
  for (int i = 0; i < blocks; ++i) all->append(std::make_shared<BasicBlock>(i ? out : in, out, i ? 1 : stride, shortcut));
  return all;
}

void initialise_weights(const Module& net, int least_rank, init::FanMode mode) {
  for (Variable& parameter : net.parameters())
    if (parameter.rank() >= least_rank) parameter.set_value(init::kaiming_normal(parameter.shape(), {.mode = mode}));
}

class CifarResNet : public Module {
 public:
  explicit CifarResNet(const CifarResNetOptions& o) {
    check(o.depth >= 8 && o.depth % 6 == 2, "cifar_resnet", "expected depth = 6 n + 2 with n >= 1; got {}", o.depth);
    check(o.classes >= 1, "cifar_resnet", "expected classes >= 1; got {}", o.classes);
    check(o.channels >= 1, "cifar_resnet", "expected channels >= 1; got {}", o.channels);
    const int blocks = (o.depth - 2) / 6;
    conv1_ = register_module("conv1", conv3x3(o.channels, 16, 1));
    bn1_ = register_module("bn1", batch_norm(16));
    layer1_ = register_module("layer1", stage(16, 16, blocks, 1, Shortcut::subsample));
    layer2_ = register_module("layer2", stage(16, 32, blocks, 2, Shortcut::subsample));
    layer3_ = register_module("layer3", stage(32, 64, blocks, 2, Shortcut::subsample));
    avgpool_ = register_module("avgpool", layer<GlobalAvgPool>());
    linear_ = register_module("linear", classifier_layer(64, o.classes, o.normed_classifier));
    initialise_weights(*this, o.normed_classifier ? 4 : 2, init::FanMode::in);
  }

  Variable forward(const Variable& x) override {
    const Variable y = bn1_->forward_relu(*conv1_, x);
    return (*linear_)((*avgpool_)((*layer3_)((*layer2_)((*layer1_)(y)))));
  }
  std::string describe() const override { return "CifarResNet"; }

 private:
  std::shared_ptr<Conv2d> conv1_;
  std::shared_ptr<BatchNorm2d> bn1_;
  ModulePtr layer1_, layer2_, layer3_, avgpool_, linear_;
};

class ResNet : public Module {
 public:
  explicit ResNet(const ResNetOptions& o) {
    check(o.depth == 18 || o.depth == 34, "resnet", "expected depth 18 or 34; got {}", o.depth);
    check(o.classes >= 1, "resnet", "expected classes >= 1; got {}", o.classes);
    check(o.channels >= 1, "resnet", "expected channels >= 1; got {}", o.channels);
    const bool deep = o.depth == 34;
    conv1_ = register_module(
        "conv1",
        o.small_images
            ? conv3x3(o.channels, 64, 1)
            : layer<Conv2d>(
                  {.in_channels = o.channels, .out_channels = 64, .kernel = 7, .stride = 2, .padding = 3, .bias = false}));
    bn1_ = register_module("bn1", batch_norm(64));
    if (!o.small_images) maxpool_ = register_module("maxpool", layer<MaxPool2d>({.kernel = 3, .stride = 2, .padding = 1}));
    layer1_ = register_module("layer1", stage(64, 64, deep ? 3 : 2, 1, Shortcut::projection));
    layer2_ = register_module("layer2", stage(64, 128, deep ? 4 : 2, 2, Shortcut::projection));
    layer3_ = register_module("layer3", stage(128, 256, deep ? 6 : 2, 2, Shortcut::projection));
    layer4_ = register_module("layer4", stage(256, 512, deep ? 3 : 2, 2, Shortcut::projection));
    avgpool_ = register_module("avgpool", layer<GlobalAvgPool>());
    fc_ = register_module("fc", classifier_layer(512, o.classes, o.normed_classifier));
    initialise_weights(*this, 4, init::FanMode::out);
  }

  Variable forward(const Variable& x) override {
    Variable y = bn1_->forward_relu(*conv1_, x);
    if (maxpool_) y = (*maxpool_)(y);
    return (*fc_)((*avgpool_)((*layer4_)((*layer3_)((*layer2_)((*layer1_)(y))))));
  }
  std::string describe() const override { return "ResNet"; }

 private:
  std::shared_ptr<Conv2d> conv1_;
  std::shared_ptr<BatchNorm2d> bn1_;
  ModulePtr maxpool_, layer1_, layer2_, layer3_, layer4_, avgpool_, fc_;
};

}  // namespace

ModulePtr cifar_resnet(const CifarResNetOptions& options) { return std::make_shared<CifarResNet>(options); }
ModulePtr resnet(const ResNetOptions& options) { return std::make_shared<ResNet>(options); }

}  // namespace heft::models
