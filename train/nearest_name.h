// Internal to heft's readers of names: what somebody may have meant.
#pragma once

#include <string>
#include <vector>

namespace heft::train {

// The one of `names` with the fewest letters put in, taken out or replaced on the way from `name`; the first of equals. A
// name's table ("data." of "data.noise") may be missing or wrong at the price of one letter. Throws ValueError for no names.
std::string nearest_name(const std::string& name, const std::vector<std::string>& names);

}  // namespace heft::train
