// Internal. What this library was built with, for the records of a run.
#pragma once

#include <string>

namespace heft {

std::string compiler();        // "g++ 12.2.0"
std::string onednn_version();  // of the library that is linked, "2.6.3"; "none": plain loops

}  // namespace heft
