// Networks that are ready to train. Parameters are named as in the customary PyTorch code, so that state interchanges.
// All take images (N, channels, image_size, image_size) and return logits (N, classes). All numbers must be >= 1 unless
// they say otherwise; ValueError names the one that is not.
// With normed_classifier the last layer is a NormedLinear, which ldam() asks for: cosines in place of logits, under the same
// name, without a bias. Everything else keeps its name, so that load_state(state, false) takes either kind's state.
#pragma once

#include <string>
#include <vector>

#include "layers/module.h"

namespace heft::models {

struct MlpOptions {
  std::int64_t inputs = 784;
  std::vector<std::int64_t> hidden = {512, 512};
  std::int64_t classes = 10;
  bool normed_classifier = false;
};
// Linear and ReLU in turn: fc1, fc2, ...; x (N, ...) is flattened first. 669,706 parameters by default.
ModulePtr mlp(const MlpOptions& options = {});

struct LeNet5Options {
  std::int64_t classes = 10;
  std::int64_t channels = 1;
  std::int64_t image_size = 28;  // >= 12
  bool normed_classifier = false;
};
// LeCun et al. 1998 in its usual modern form: conv1 (5x5, 6, padding 2), ReLU, max pool, conv2 (5x5, 16), ReLU, max pool,
// fc1 (120), fc2 (84), fc3. 61,706 parameters by default.
ModulePtr lenet5(const LeNet5Options& options = {});

struct VggSmallOptions {
  std::int64_t classes = 10;
  std::int64_t channels = 3;
  std::int64_t image_size = 32;  // >= 8
  bool normed_classifier = false;
};
// features: 3x3 convolutions without bias, each with batch norm and ReLU, 64 64 M 128 128 M 256 256 M (M: max pool 2);
// classifier: one linear layer. 1,187,274 parameters by default.
ModulePtr vgg_small(const VggSmallOptions& options = {});

struct CifarResNetOptions {
  int depth = 20;  // 6 n + 2
  std::int64_t classes = 10;
  std::int64_t channels = 3;
  bool normed_classifier = false;
};
// He et al. 2016, section 4.2, in the form that the long-tail literature uses (LDAM-DRW): conv1 3x3 to 16 channels, three
// stages layer1..3 of n basic blocks with 16, 32, 64 channels, avgpool, linear. Where the shape changes the shortcut has
// no parameters (option A): every second row and column, zeros for a quarter of the new channels on each side. Weights of
// convolutions and of the linear layer (not a normed one): Kaiming normal, fan in. 269,722 parameters for depth 20, 464,154
// for 32, 464,144 with a normed classifier.
ModulePtr cifar_resnet(const CifarResNetOptions& options = {});

struct ResNetOptions {
  int depth = 18;  // 18 or 34
  std::int64_t classes = 1000;
  std::int64_t channels = 3;
  bool small_images = false;  // a 3x3 convolution of stride 1 and no pool as the stem, for images of about 32 to 64
  bool normed_classifier = false;
};
// He et al. 2016, section 4.1, for ImageNet, under torchvision's names: conv1, bn1, layer1..4 (downsample.0 and .1 are the
// projection shortcut), fc. Convolutions: Kaiming normal, fan out. 11,689,512 and 21,797,672 parameters with 1000 classes.
ModulePtr resnet(const ResNetOptions& options = {});

struct MakeOptions {
  std::int64_t classes = 10;
  std::int64_t channels = 1;
  std::int64_t image_size = 28;
  bool normed_classifier = false;
};
// By name: mlp, lenet5, vgg_small, resnet20, resnet32, resnet44, resnet56, resnet18, resnet34 (these two with the small stem
// for images below 96). ValueError lists the names.
ModulePtr make(const std::string& name, const MakeOptions& options = {});
std::vector<std::string> names();

}  // namespace heft::models
