// cvt: from one type of number to another.
#include <cmath>
#include <limits>

#include "tests/ptx/operations.h"

namespace ptx {
namespace {

enum Rounding : int { kNone, kToZero, kToEven, kDown, kUp };

double to_whole(double v, i64 how) {
  switch (how) {
    case kToZero: return std::trunc(v);
    case kToEven: return std::nearbyint(v);
    case kDown: return std::floor(v);
    case kUp: return std::ceil(v);
    default: return v;
  }
}

// value: the rounding; other: whether to keep within [0, 1]. Floats beyond a whole type become its nearest value; NaN
// becomes 0 from 32 bits to 32, and otherwise the upper bit alone.
template <class To, class From>
To converted(From v, const Instruction& i) {
  if constexpr (std::is_floating_point_v<From> && !std::is_floating_point_v<To>) {
    const double whole = to_whole(v, i.value);
    if (std::isnan(whole))
      return sizeof(To) == 8 || sizeof(From) == 8 ? static_cast<To>(u64{1} << (8 * sizeof(To) - 1)) : To{0};
    if (whole >= static_cast<double>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
    if (whole <= static_cast<double>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    return static_cast<To>(whole);
  } else if constexpr (std::is_floating_point_v<From>) {
    const To result = std::is_same_v<To, From> ? static_cast<To>(to_whole(v, i.value)) : static_cast<To>(v);
    if (i.other == 0) return result;
    return std::isnan(result) ? To{0} : std::clamp(result, To{0}, To{1});
  } else {
    return static_cast<To>(v);
  }
}

template <class To, class From>
void convert(Warp& warp, const Instruction& i, u32 lanes) {
  u64* d = warp.row(i.operands[0]);
  const u64* a = warp.row(i.operands[1]);
  for_each_lane(lanes, [&](u32 l) { d[l] = bits<To>(converted<To>(as<From>(a[l]), i)); });
}

void float_to_bf16(Warp& warp, const Instruction& i, u32 lanes) {
  u64* d = warp.row(i.operands[0]);
  const u64* a = warp.row(i.operands[1]);
  for_each_lane(lanes, [&](u32 l) { d[l] = to_bf16(as<float>(a[l])); });
}
void bf16_to_float(Warp& warp, const Instruction& i, u32 lanes) {
  u64* d = warp.row(i.operands[0]);
  const u64* a = warp.row(i.operands[1]);
  for_each_lane(lanes, [&](u32 l) { d[l] = bits(from_bf16(as<u16>(a[l]))); });
}
void floats_to_bf16_pair(Warp& warp, const Instruction& i, u32 lanes) {  // the first is the upper one
  u64* d = warp.row(i.operands[0]);
  const u64 *a = warp.row(i.operands[1]), *b = warp.row(i.operands[2]);
  for_each_lane(lanes, [&](u32 l) { d[l] = u32{to_bf16(as<float>(a[l]))} << 16 | to_bf16(as<float>(b[l])); });
}

}  // namespace

Execute find_conversion(const Opcode& o, Instruction& i) {
  if (o.name() != "cvt") return nullptr;
  const std::string &to = o[o.parts.size() - 2], &from = o.type();
  if (to == "bf16x2") return from == "f32" ? floats_to_bf16_pair : nullptr;
  if (to == "bf16") return from == "f32" ? float_to_bf16 : nullptr;
  if (from == "bf16") return to == "f32" ? bf16_to_float : nullptr;
  i.value = o.has("rzi") ? kToZero : o.has("rni") ? kToEven : o.has("rmi") ? kDown : o.has("rpi") ? kUp : kNone;
  i.other = o.has("sat");
  if (i.other != 0 && (to[0] != 'f' || from[0] != 'f')) return nullptr;
  return for_stored(
      to, [&]<class To>() -> Execute { return for_stored(from, []<class From>() -> Execute { return convert<To, From>; }); });
}

}  // namespace ptx
