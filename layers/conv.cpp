#include "layers/conv.h"

#include "autograd/elementwise.h"
#include "autograd/images.h"
#include "core/check.h"
#include "layers/init.h"

namespace heft {

Conv2d::Conv2d(const Options& o)
    : options_(o),
      geometry_{.stride = o.stride.array(), .padding = o.padding.array(), .dilation = o.dilation.array(), .groups = o.groups} {
  constexpr const char* op = "Conv2d";
  check(o.in_channels >= 1, op, "expected in_channels >= 1; got {}", o.in_channels);
  check(o.out_channels >= 1, op, "expected out_channels >= 1; got {}", o.out_channels);
  check(o.kernel.at_least(1), op, "expected kernel >= 1; got {}", o.kernel.str());
  check(o.stride.at_least(1), op, "expected stride >= 1; got {}", o.stride.str());
  check(o.padding.at_least(0), op, "expected padding >= 0; got {}", o.padding.str());
  check(o.dilation.at_least(1), op, "expected dilation >= 1; got {}", o.dilation.str());
  check(o.groups >= 1 && o.in_channels % o.groups == 0 && o.out_channels % o.groups == 0, op,
        "expected groups >= 1 that divide in_channels ({}) and out_channels ({}); got {}", o.in_channels, o.out_channels,
        o.groups);
  const Shape shape{o.out_channels, o.in_channels / o.groups, o.kernel.height, o.kernel.width};
  weight_ = register_parameter("weight", init::default_weight(shape));
  if (o.bias) bias_ = register_parameter("bias", init::default_bias(o.out_channels, init::fan(shape).in));
}

Variable Conv2d::forward(const Variable& x) { return conv2d(x, weight_, bias_, geometry_); }

Variable Conv2d::forward_relu(const Variable& x) {
  return ForwardObserver::active() ? relu((*this)(x)) : conv2d_relu(x, weight_, bias_, geometry_);
}

std::string Conv2d::describe() const {
  const Options& o = options_;
  std::string text = fmt::format("Conv2d({} -> {}, {}", o.in_channels, o.out_channels, o.kernel.str());
  if (o.stride != Extent2d(1)) text += ", stride " + o.stride.str();
  if (o.padding != Extent2d(0)) text += ", padding " + o.padding.str();
  if (o.dilation != Extent2d(1)) text += ", dilation " + o.dilation.str();
  if (o.groups != 1) text += fmt::format(", groups {}", o.groups);
  return text + (o.bias ? ")" : ", no bias)");
}

}  // namespace heft
