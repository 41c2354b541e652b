#include "core/cpu/onednn.h"

namespace heft::onednn {

// Never destroyed: tensors and primitives of static storage may outlive any order of destruction.
const dnnl::engine& engine() {
  static const auto& engine = *new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

const dnnl::stream& stream() {
  thread_local const dnnl::stream stream(engine());
  return stream;
}

const dnnl::primitive_attr& user_scratchpad() {
  static const auto& attributes = []() -> const dnnl::primitive_attr& {
    auto& made = *new dnnl::primitive_attr;
    made.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return made;
  }();
  return attributes;
}

}  // namespace heft::onednn
