#include "core/cpu/simd.h"

#include "core/cpu/onednn.h"

namespace heft::simd {
namespace {

Isa best() {
  const auto has = [isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa())](dnnl::cpu_isa wanted) {
    return (isa & static_cast<unsigned>(wanted)) == static_cast<unsigned>(wanted);
  };
  if (has(dnnl::cpu_isa::avx512_core)) return Isa::avx512;
  return has(dnnl::cpu_isa::avx2) ? Isa::avx2 : Isa::plain;
}

}  // namespace

Isa isa() {
  static const Isa chosen = best();
  return chosen;
}

int width() {
  switch (isa()) {
    case Isa::avx512: return 16;
    case Isa::avx2: return 8;
    default: return 4;
  }
}

}  // namespace heft::simd
