// How the library throws: check(condition, "op", "format", ...). Internal: public headers do not include fmt.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <string_view>
#include <utility>

#include "core/device.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/shape.h"

template <>
struct fmt::formatter<heft::Shape> : fmt::formatter<std::string> {
  template <class Context>
  auto format(const heft::Shape& shape, Context& context) const {
    return fmt::formatter<std::string>::format(shape.str(), context);
  }
};
template <>
struct fmt::formatter<heft::DType> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(heft::DType dtype, Context& context) const {
    return fmt::formatter<std::string_view>::format(heft::name(dtype), context);
  }
};
template <>
struct fmt::formatter<heft::Device> : fmt::formatter<std::string> {
  template <class Context>
  auto format(heft::Device device, Context& context) const {
    return fmt::formatter<std::string>::format(device.str(), context);
  }
};

namespace heft {

template <class E = ValueError, class... Args>
[[noreturn]] void fail(std::string_view op, fmt::format_string<Args...> format, Args&&... args) {
  throw E(std::string(op), fmt::format(format, std::forward<Args>(args)...));
}

template <class E = ValueError, class... Args>
void check(bool condition, std::string_view op, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) [[unlikely]]
    fail<E>(op, format, std::forward<Args>(args)...);
}

}  // namespace heft
