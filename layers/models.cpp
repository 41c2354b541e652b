#include "layers/models.h"

#include <algorithm>

#include "core/check.h"

namespace heft::models {
namespace {

struct Entry {
  const char* name;
  ModulePtr (*make)(const MakeOptions&);
};

template <int depth>
ModulePtr cifar(const MakeOptions& o) {
  return cifar_resnet({.depth = depth, .classes = o.classes, .channels = o.channels, .normed_classifier = o.normed_classifier});
}
template <int depth>
ModulePtr imagenet(const MakeOptions& o) {
  return resnet({.depth = depth,
                 .classes = o.classes,
                 .channels = o.channels,
                 .small_images = o.image_size < 96,
                 .normed_classifier = o.normed_classifier});
}

constexpr Entry kModels[] = {
    {"mlp",
     [](const MakeOptions& o) {
       return mlp({.inputs = o.channels * o.image_size * o.image_size,
                   .classes = o.classes,
                   .normed_classifier = o.normed_classifier});
     }},
    {"lenet5",
     [](const MakeOptions& o) {
       return lenet5({o.classes, o.channels, o.image_size, o.normed_classifier});
     }},
    {"vgg_small",
     [](const MakeOptions& o) {
       return vgg_small({o.classes, o.channels, o.image_size, o.normed_classifier});
     }},
    {"resnet20", cifar<20>},
    {"resnet32", cifar<32>},
    {"resnet44", cifar<44>},
    {"resnet56", cifar<56>},
    {"resnet18", imagenet<18>},
    {"resnet34", imagenet<34>},
};

}  // namespace

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const Entry& entry : kModels) all.emplace_back(entry.name);
  return all;
}

ModulePtr make(const std::string& name, const MakeOptions& options) {
  const auto* found = std::find_if(std::begin(kModels), std::end(kModels), [&](const Entry& e) { return e.name == name; });
  check(found != std::end(kModels), "models::make", "expected one of {}; got '{}'", fmt::join(names(), ", "), name);
  return found->make(options);
}

}  // namespace heft::models
