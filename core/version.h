// The version of heft, semantic (https://semver.org): of these headers as macros, of the library that is linked as a function.
// CMakeLists.txt, the packages and the program read it from here.
#pragma once

#define HEFT_VERSION_MAJOR 0
#define HEFT_VERSION_MINOR 1
#define HEFT_VERSION_PATCH 0
#define HEFT_VERSION "0.1.0"

namespace heft {

// "0.1.0"
const char* version();

}  // namespace heft
