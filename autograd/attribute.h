// What an operation was given besides its inputs, under names: {"stride", geometry.stride}, {"axis", axis}, {"slope", slope}.
// For those who watch operations run (autograd/trace.h); values and gradients do not depend on it.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor.h"

namespace heft {

struct Attribute {
  template <std::integral T>
  Attribute(const char* key, T value) : name(key), integers{static_cast<std::int64_t>(value)} {}
  Attribute(const char* key, std::span<const std::int64_t> values) : name(key), integers(values.begin(), values.end()) {}
  Attribute(const char* key, const std::vector<int>& values) : name(key), integers(values.begin(), values.end()) {}
  Attribute(const char* key, double value) : name(key), number(value) {}
  Attribute(const char* key, Tensor value) : name(key), tensor(std::move(value)) {}

  const char* name;
  // One of these has the value.
  std::vector<std::int64_t> integers = {};
  double number = 0;
  Tensor tensor = {};
};
using Attributes = std::vector<Attribute>;

}  // namespace heft
