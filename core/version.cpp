#include "core/version.h"

namespace heft {

const char* version() { return HEFT_VERSION; }

}  // namespace heft
