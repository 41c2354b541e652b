// States inside one another: the entries of a part go into the whole under a prefix, and come out again. Internal.
#pragma once

#include <map>
#include <string>

#include "core/tensor.h"

namespace heft::train {

using NamedState = std::map<std::string, Tensor>;

inline void put(NamedState& all, const std::string& prefix, const NamedState& part) {
  for (const auto& [name, tensor] : part) all[prefix + name] = tensor;
}

inline NamedState part_of(const NamedState& all, const std::string& prefix) {
  NamedState part;
  for (auto it = all.lower_bound(prefix); it != all.end() && it->first.starts_with(prefix); ++it)
    part[it->first.substr(prefix.size())] = it->second;
  return part;
}

}  // namespace heft::train
