// Arithmetic, logic, comparisons and selection.
#include <cfenv>
#include <cmath>
#include <limits>

#include "tests/ptx/operations.h"

namespace ptx {
namespace {

// Whole numbers wrap around.
template <class T>
using Wrapping = std::conditional_t<std::is_floating_point_v<T>, std::type_identity<T>, std::make_unsigned<T>>::type;

struct Add {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
  }
};
struct Subtract {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
  }
};
struct Multiply {
  template <class T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) return a * b;
    else return static_cast<T>(u64{static_cast<Wrapping<T>>(a)} * u64{static_cast<Wrapping<T>>(b)});
  }
};
__extension__ using Signed128 = __int128;
__extension__ using Unsigned128 = unsigned __int128;
struct MultiplyHigh {
  template <class T>
  static T of(T a, T b) {
    using Wide = std::conditional_t<std::is_signed_v<T>, Signed128, Unsigned128>;
    return static_cast<T>((static_cast<Wide>(a) * static_cast<Wide>(b)) >> (8 * sizeof(T)));
  }
};
struct Divide {
  template <class T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      return a / b;
    } else {
      if (b == 0) return static_cast<T>(-1);
      if (std::is_signed_v<T> && b == static_cast<T>(-1)) return Subtract::of(T{0}, a);
      return static_cast<T>(a / b);
    }
  }
};
struct Remainder {
  template <class T>
  static T of(T a, T b) {
    if (b == 0) return a;
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
    return static_cast<T>(a % b);
  }
};
struct And {
  template <class T>
  static T of(T a, T b) {
    return a & b;
  }
};
struct Or {
  template <class T>
  static T of(T a, T b) {
    return a | b;
  }
};
struct Xor {
  template <class T>
  static T of(T a, T b) {
    return a ^ b;
  }
};
struct Minimum {
  template <class T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) return a == b ? (std::signbit(a) ? a : b) : std::fmin(a, b);
    else return std::min(a, b);
  }
};
struct Maximum {
  template <class T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) return a == b ? (std::signbit(a) ? b : a) : std::fmax(a, b);
    else return std::max(a, b);
  }
};
struct CopySign {  // the sign comes first
  template <class T>
  static T of(T a, T b) {
    return std::copysign(b, a);
  }
};
struct ShiftLeft {
  template <class T>
  static T of(T a, u32 by) {
    return by >= 8 * sizeof(T) ? T{0} : static_cast<T>(u64{static_cast<Wrapping<T>>(a)} << by);
  }
};
struct ShiftRight {
  template <class T>
  static T of(T a, u32 by) {
    const u32 most = 8 * sizeof(T) - 1;
    if (by > most) return std::is_signed_v<T> ? static_cast<T>(a >> most) : T{0};
    return static_cast<T>(a >> by);
  }
};

struct Negate {
  template <class T>
  static T of(T a) {
    if constexpr (std::is_floating_point_v<T>) return -a;
    else return Subtract::of(T{0}, a);
  }
};
struct Absolute {
  template <class T>
  static T of(T a) {
    if constexpr (std::is_floating_point_v<T>) return std::fabs(a);
    else return a < T{0} ? Negate::of(a) : a;
  }
};
struct Not {
  template <class T>
  static T of(T a) {
    return static_cast<T>(~a);
  }
};
struct SquareRoot {
  template <class T>
  static T of(T a) {
    return std::sqrt(a);
  }
};
struct Reciprocal {
  template <class T>
  static T of(T a) {
    return T{1} / a;
  }
};
// .ftz: what is less than the least normal number is 0.
template <class Op>
struct Flushing {
  static float flushed(float a) { return std::fpclassify(a) == FP_SUBNORMAL ? std::copysign(0.f, a) : a; }
  static float of(float a) { return flushed(Op::of(flushed(a))); }
};
struct RoughReciprocal {  // of doubles, whose lower half is left 0
  static double of(double a) { return std::bit_cast<double>(std::bit_cast<u64>(1 / a) & 0xffffffff00000000u); }
};
struct Exponential2 {
  static float of(float a) { return std::exp2(a); }
};
struct LeadingZeros {
  template <class T>
  static T of(T a) {
    return static_cast<T>(std::countl_zero(static_cast<Wrapping<T>>(a)));
  }
};

template <class T, class Op>
void unary(Warp& warp, const Instruction& i, u32 lanes) {
  u64* d = warp.row(i.operands[0]);
  const u64* a = warp.row(i.operands[1]);
  for_each_lane(lanes, [&](u32 l) { d[l] = bits<T>(Op::of(as<T>(a[l]))); });
}

template <class T, class Op, class Second = T>
void binary(Warp& warp, const Instruction& i, u32 lanes) {
  u64* d = warp.row(i.operands[0]);
  const u64 *a = warp.row(i.operands[1]), *b = warp.row(i.operands[2]);
  for_each_lane(lanes, [&](u32 l) { d[l] = bits<T>(Op::of(as<T>(a[l]), as<Second>(b[l]))); });
}

template <class T>
void multiply_wide(Warp& warp, const Instruction& i, u32 lanes) {
  using Wide = std::conditional_t<std::is_signed_v<T>, i64, u64>;
  u64* d = warp.row(i.operands[0]);
  const u64 *a = warp.row(i.operands[1]), *b = warp.row(i.operands[2]);
  const u64* c = i.operands.size() > 3 ? warp.row(i.operands[3]) : nullptr;
  for_each_lane(lanes, [&](u32 l) {
    const u64 product = static_cast<u64>(static_cast<Wide>(as<T>(a[l])) * static_cast<Wide>(as<T>(b[l])));
    d[l] = product + (c ? c[l] : 0);
  });
}

template <class T>
void multiply_add(Warp& warp, const Instruction& i, u32 lanes) {
  u64* d = warp.row(i.operands[0]);
  const u64 *a = warp.row(i.operands[1]), *b = warp.row(i.operands[2]), *c = warp.row(i.operands[3]);
  for_each_lane(lanes, [&](u32 l) {
    if constexpr (std::is_floating_point_v<T>) d[l] = bits(std::fma(as<T>(a[l]), as<T>(b[l]), as<T>(c[l])));
    else d[l] = bits(Add::of(Multiply::of(as<T>(a[l]), as<T>(b[l])), as<T>(c[l])));
  });
}

// What is rounded otherwise than to the nearest: value is the mode; a sum of two or a product and a third.
void add_rounded(Warp& warp, const Instruction& i, u32 lanes) {
  u64* d = warp.row(i.operands[0]);
  const bool three = i.operands.size() > 3;
  const u64 *a = warp.row(i.operands[1]), *b = warp.row(i.operands[2]), *c = three ? warp.row(i.operands[3]) : nullptr;
  std::fesetround(static_cast<int>(i.value));
  for_each_lane(lanes, [&](u32 l) {
    const volatile float x = as<float>(a[l]), y = as<float>(b[l]), z = three ? as<float>(c[l]) : 0.f;
    const volatile float sum = three ? std::fma(x, y, z) : x + y;
    d[l] = bits<float>(sum);
  });
  std::fesetround(FE_TONEAREST);
}

enum CarryMode : int { kCarryIn = 1, kCarryOut = 2, kSubtract = 4, kProduct = 8, kHighHalf = 16 };
void with_carry(Warp& warp, const Instruction& i, u32 lanes) {
  u64 *d = warp.row(i.operands[0]), *carry = warp.row(kCarry);
  const u64 *a = warp.row(i.operands[1]), *b = warp.row(i.operands[2]);
  const u64* c = i.value & kProduct ? warp.row(i.operands[3]) : nullptr;
  for_each_lane(lanes, [&](u32 l) {
    u64 x = as<u32>(a[l]), y = as<u32>(b[l]);
    if (c) {
      const u64 product = x * y;
      x = i.value & kHighHalf ? product >> 32 : as<u32>(product), y = as<u32>(c[l]);
    }
    const u64 in = i.value & kCarryIn ? carry[l] & 1 : 0, sum = i.value & kSubtract ? x - y - in : x + y + in;
    if (i.value & kCarryOut) carry[l] = sum >> 32 & 1;
    d[l] = as<u32>(sum);
  });
}

template <class Op>
void of_predicates(Warp& warp, const Instruction& i, u32 lanes) {
  warp.set_predicate(i.operands[0], as<u32>(Op::of(warp.predicate(i.operands[1]), warp.predicate(i.operands[2]))), lanes);
}
void not_predicate(Warp& warp, const Instruction& i, u32 lanes) {
  warp.set_predicate(i.operands[0], ~as<u32>(warp.predicate(i.operands[1])), lanes);
}

void select(Warp& warp, const Instruction& i, u32 lanes) {
  u64* d = warp.row(i.operands[0]);
  const u64 *a = warp.row(i.operands[1]), *b = warp.row(i.operands[2]);
  const u64 which = warp.predicate(i.operands[3]);
  for_each_lane(lanes, [&](u32 l) { d[l] = which >> l & 1 ? a[l] : b[l]; });
}

template <class T>
void insert_bits(Warp& warp, const Instruction& i, u32 lanes) {  // d = b with the lowest bits of a at a place
  u64* d = warp.row(i.operands[0]);
  const u64 *a = warp.row(i.operands[1]), *b = warp.row(i.operands[2]), *at = warp.row(i.operands[3]),
            *count = warp.row(i.operands[4]);
  for_each_lane(lanes, [&](u32 l) {
    const u32 n = count[l] & 255;
    const T low = n >= 8 * sizeof(T) ? static_cast<T>(~T{0}) : static_cast<T>((T{1} << n) - 1);
    const T mask = ShiftLeft::of(low, at[l] & 255);
    d[l] = bits<T>(static_cast<T>((as<T>(b[l]) & ~mask) | (ShiftLeft::of(as<T>(a[l]), at[l] & 255) & mask)));
  });
}

void permute_bytes(Warp& warp, const Instruction& i, u32 lanes) {
  u64* d = warp.row(i.operands[0]);
  const u64 *a = warp.row(i.operands[1]), *b = warp.row(i.operands[2]), *choice = warp.row(i.operands[3]);
  for_each_lane(lanes, [&](u32 l) {
    const u64 eight = u64{as<u32>(a[l])} | b[l] << 32;
    u32 result = 0;
    for (u32 k = 0; k < 4; ++k) {
      const u32 which = static_cast<u32>(choice[l] >> (4 * k)) & 15;
      auto byte = static_cast<u8>(eight >> (8 * (which & 7)));
      if (which & 8) byte = byte & 128 ? 255 : 0;  // its sign alone
      result |= u32{byte} << (8 * k);
    }
    d[l] = result;
  });
}

enum class Compare { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };
constexpr std::string_view kComparisons[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",  "equ",
                                             "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};

template <class T>
bool compare(Compare how, T a, T b) {
  bool unordered = false;
  if constexpr (std::is_floating_point_v<T>) unordered = std::isnan(a) || std::isnan(b);
  switch (how) {
    case Compare::eq: return a == b;
    case Compare::ne: return !unordered && a != b;
    case Compare::lt: return a < b;
    case Compare::le: return a <= b;
    case Compare::gt: return a > b;
    case Compare::ge: return a >= b;
    case Compare::equ: return unordered || a == b;
    case Compare::neu: return a != b;
    case Compare::ltu: return !(a >= b);
    case Compare::leu: return !(a > b);
    case Compare::gtu: return !(a <= b);
    case Compare::geu: return !(a < b);
    case Compare::num: return !unordered;
    case Compare::nan: return unordered;
  }
  return false;
}
template <class T>
void compare_lanes(Warp& warp, const Instruction& i, u32 lanes) {
  const u64 *a = warp.row(i.operands[1]), *b = warp.row(i.operands[2]);
  const auto how = static_cast<Compare>(i.value);
  u32 holds = 0;
  for_each_lane(lanes, [&](u32 l) { holds |= static_cast<u32>(compare(how, as<T>(a[l]), as<T>(b[l]))) << l; });
  warp.set_predicate(i.operands[0], holds, lanes);
}

template <class Op>
Execute for_whole(const Opcode& o) {
  return for_integer(o.type(), []<class T>() -> Execute { return binary<T, Op>; });
}
template <class Op>
Execute for_both(const Opcode& o) {
  return for_number(o.type(), []<class T>() -> Execute { return binary<T, Op>; });
}
template <class Op>
Execute for_one(const Opcode& o) {
  return for_number(o.type(), []<class T>() -> Execute { return unary<T, Op>; });
}

Execute find_sum(const Opcode& o, Instruction& i) {
  const bool carry_in = o.name() == "addc" || o.name() == "subc", subtract = o.name().starts_with("sub");
  if (carry_in || o.has("cc")) {
    i.value = (carry_in ? kCarryIn : 0) | (o.has("cc") ? kCarryOut : 0) | (subtract ? kSubtract : 0);
    return o.type() == "u32" || o.type() == "s32" ? with_carry : nullptr;
  }
  if (o.has("rz")) {
    i.value = FE_TOWARDZERO;
    return o.type() == "f32" && !subtract ? add_rounded : nullptr;
  }
  return subtract ? for_both<Subtract>(o) : for_both<Add>(o);
}

Execute find_multiplication(const Opcode& o, Instruction& i) {
  const bool add = o.name() != "mul";
  if (o.has("cc") || o.name() == "madc") {
    i.value = kProduct | (o.name() == "madc" ? kCarryIn : 0) | (o.has("cc") ? kCarryOut : 0) | (o.has("hi") ? kHighHalf : 0);
    return o.type() == "u32" || o.type() == "s32" ? with_carry : nullptr;
  }
  if (o.has("wide")) {
    if (o.type() == "u32") return multiply_wide<u32>;
    if (o.type() == "s32") return multiply_wide<i32>;
    return nullptr;
  }
  if (add) return o.has("lo") ? for_integer(o.type(), []<class T>() -> Execute { return multiply_add<T>; }) : nullptr;
  return o.has("hi") ? for_whole<MultiplyHigh>(o) : for_both<Multiply>(o);
}

}  // namespace

Execute find_arithmetic(const Opcode& o, Instruction& i) {
  const std::string& name = o.name();
  if (o.type() == "pred") {
    if (name == "and") return of_predicates<And>;
    if (name == "or") return of_predicates<Or>;
    if (name == "xor") return of_predicates<Xor>;
    return name == "not" ? not_predicate : nullptr;
  }
  if (name == "add" || name == "sub" || name == "addc" || name == "subc") return find_sum(o, i);
  if (name == "mul" || name == "mad" || name == "madc") return find_multiplication(o, i);
  if (name == "fma") {
    i.value = FE_DOWNWARD;
    if (o.has("rm")) return o.type() == "f32" ? add_rounded : nullptr;
    return o.has("rn") ? for_float(o.type(), []<class T>() -> Execute { return multiply_add<T>; }) : nullptr;
  }
  if (name == "div") return o.has("approx") || o.has("full") ? nullptr : for_both<Divide>(o);
  if (name == "rem") return for_whole<Remainder>(o);
  if (name == "and") return for_whole<And>(o);
  if (name == "or") return for_whole<Or>(o);
  if (name == "xor") return for_whole<Xor>(o);
  if (name == "not") return for_integer(o.type(), []<class T>() -> Execute { return unary<T, Not>; });
  if (name == "shl") return for_integer(o.type(), []<class T>() -> Execute { return binary<T, ShiftLeft, u32>; });
  if (name == "shr") return for_integer(o.type(), []<class T>() -> Execute { return binary<T, ShiftRight, u32>; });
  if (name == "min") return for_both<Minimum>(o);
  if (name == "max") return for_both<Maximum>(o);
  if (name == "neg") return for_one<Negate>(o);
  if (name == "abs") return for_one<Absolute>(o);
  if (name == "copysign") return for_float(o.type(), []<class T>() -> Execute { return binary<T, CopySign>; });
  if (name == "sqrt" && o.has("rn")) return for_float(o.type(), []<class T>() -> Execute { return unary<T, SquareRoot>; });
  if (name == "rcp") {
    if (o.has("approx") && o.type() == "f64") return unary<double, RoughReciprocal>;
    if (o.has("ftz")) return unary<float, Flushing<Reciprocal>>;
    return for_float(o.type(), []<class T>() -> Execute { return unary<T, Reciprocal>; });
  }
  if (name == "ex2" && o.type() == "f32")
    return o.has("ftz") ? unary<float, Flushing<Exponential2>> : unary<float, Exponential2>;
  if (name == "clz") return for_integer(o.type(), []<class T>() -> Execute { return unary<T, LeadingZeros>; });
  if (name == "bfi") return for_integer(o.type(), []<class T>() -> Execute { return insert_bits<std::make_unsigned_t<T>>; });
  if (name == "prmt") return permute_bytes;
  if (name == "selp") return select;
  if (name == "setp" && o.parts.size() == 3) {
    const auto* found = std::find(std::begin(kComparisons), std::end(kComparisons), o[1]);
    if (found == std::end(kComparisons)) return nullptr;
    i.value = found - std::begin(kComparisons);
    return for_number(o.type(), []<class T>() -> Execute { return compare_lanes<T>; });
  }
  return nullptr;
}

}  // namespace ptx
