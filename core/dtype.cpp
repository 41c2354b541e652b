#include "core/dtype.h"

#include "core/check.h"
#include "core/device.h"

namespace heft {

std::string_view name(DType dtype) {
  switch (dtype) {
    case DType::f32: return "f32";
    case DType::f64: return "f64";
    case DType::i32: return "i32";
    case DType::i64: return "i64";
    case DType::u8: return "u8";
    case DType::boolean: break;
  }
  return "bool";
}

std::size_t size_of(DType dtype) {
  return dispatch_all(dtype, []<class T>() { return sizeof(T); });
}

void throw_dtype(std::string_view op, std::string_view expected, DType got) {
  fail<DTypeError>(op, "expected {}; got {}", expected, got);
}

std::string Device::str() const { return is_cpu() ? "cpu" : "cuda:" + std::to_string(index_); }

}  // namespace heft
