// Element types, and the one place that turns a run-time DType into a C++ type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace heft {

enum class DType : std::uint8_t { f32, f64, i32, i64, u8, boolean };

// "f32", "f64", "i32", "i64", "u8", "bool".
std::string_view name(DType dtype);
std::size_t size_of(DType dtype);
constexpr bool is_floating(DType dtype) { return dtype == DType::f32 || dtype == DType::f64; }

template <class T>
inline constexpr bool always_false = false;

// The DType of a C++ type: dtype_of<float> == DType::f32.
template <class T>
constexpr DType dtype_of_impl() {
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  else if constexpr (std::is_same_v<T, double>) return DType::f64;
  else if constexpr (std::is_same_v<T, std::int32_t>) return DType::i32;
  else if constexpr (std::is_same_v<T, std::int64_t>) return DType::i64;
  else if constexpr (std::is_same_v<T, std::uint8_t>) return DType::u8;
  else if constexpr (std::is_same_v<T, bool>) return DType::boolean;
  else static_assert(always_false<T>, "heft tensors hold float, double, int32_t, int64_t, uint8_t or bool");
}
template <class T>
inline constexpr DType dtype_of = dtype_of_impl<T>();

[[noreturn]] void throw_dtype(std::string_view op, std::string_view expected, DType got);

// Calls f.template operator()<T>() for the tensor's element type. Throws DTypeError naming `op`.
template <class F>
decltype(auto) dispatch_float(std::string_view op, DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: return f.template operator()<float>();
    case DType::f64: return f.template operator()<double>();
    default: throw_dtype(op, "f32 or f64", dtype);
  }
}
template <class F>
decltype(auto) dispatch_number(std::string_view op, DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: return f.template operator()<float>();
    case DType::f64: return f.template operator()<double>();
    case DType::i32: return f.template operator()<std::int32_t>();
    case DType::i64: return f.template operator()<std::int64_t>();
    default: throw_dtype(op, "f32, f64, i32 or i64 (convert with astype)", dtype);
  }
}
template <class F>
decltype(auto) dispatch_all(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: return f.template operator()<float>();
    case DType::f64: return f.template operator()<double>();
    case DType::i32: return f.template operator()<std::int32_t>();
    case DType::i64: return f.template operator()<std::int64_t>();
    case DType::u8: return f.template operator()<std::uint8_t>();
    case DType::boolean: break;
  }
  return f.template operator()<bool>();
}

}  // namespace heft
