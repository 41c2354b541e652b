#include "core/build_info.h"

#include <fmt/format.h>

#ifdef HEFT_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#endif

namespace heft {

std::string compiler() {
#ifdef __clang__
  return fmt::format("clang++ {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  return fmt::format("g++ {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

std::string onednn_version() {
#ifdef HEFT_ONEDNN
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
#else
  return "none";
#endif
}

}  // namespace heft
