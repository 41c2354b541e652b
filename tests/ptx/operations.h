// From an instruction's name to the function that carries it out, a family a file, and what these have in common.
#pragma once

#include <algorithm>
#include <bit>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/ptx/machine.h"

namespace ptx {

// "ld.global.v2.f32": ld, global, v2, f32.
struct Opcode {
  explicit Opcode(std::string_view text);
  const std::string& name() const { return parts.front(); }
  const std::string& type() const { return parts.back(); }
  bool has(std::string_view part) const { return std::find(parts.begin(), parts.end(), part) != parts.end(); }
  const std::string& operator[](std::size_t k) const { return parts[k]; }
  std::vector<std::string> parts;
};

// Null where the family does not have it. They set what the instruction needs to know beside its operands.
Execute find_arithmetic(const Opcode& opcode, Instruction& instruction);
Execute find_conversion(const Opcode& opcode, Instruction& instruction);
Execute find_transfer(const Opcode& opcode, Instruction& instruction);  // registers, memory, other lanes
Execute find_product(const Opcode& opcode, Instruction& instruction);   // tensor cores
Execute find_async(const Opcode& opcode, Instruction& instruction);     // copies under way and what waits for them
// Two that the reader of operands chooses: {a, b} in one register, and one register in {a, b}.
void pack(Warp& warp, const Instruction& instruction, u32 lanes);
void unpack(Warp& warp, const Instruction& instruction, u32 lanes);

// wgmma: how, in the instruction's `other`; the columns are its `value`.
enum WarpgroupMode : int { kWgmmaBf16 = 1, kWgmmaFromRegisters = 2, kWgmmaDown = 4 };
// The 128-byte swizzle of shared memory, by which bulk copies write and wgmma reads.
inline u32 swizzled(u32 address) { return address ^ (address >> 7 & 7) << 4; }

inline void nothing(Warp&, const Instruction&, u32) {}

// When a warp's lanes end: copies under way arrive all the same.
void finish_copies(Warp& warp, u32 lanes);
// One of the boxes under way arrives.
void deliver(Block& block, std::size_t which);

template <class F>
void for_each_lane(u32 lanes, F&& f) {
  if (lanes == kAllLanes) {
    for (u32 lane = 0; lane < kLanes; ++lane) f(lane);
  } else {
    for (; lanes != 0; lanes &= lanes - 1) f(static_cast<u32>(std::countr_zero(lanes)));
  }
}

// A register's value as a type: its low bytes.
template <class T>
T as(u64 value) {
  if constexpr (sizeof(T) == 8) return std::bit_cast<T>(value);
  else if constexpr (std::is_same_v<T, float>) return std::bit_cast<float>(static_cast<u32>(value));
  else return static_cast<T>(value);
}
template <class T>
u64 bits(T value) {
  if constexpr (std::is_same_v<T, float>) return std::bit_cast<u32>(value);
  else if constexpr (std::is_same_v<T, double>) return std::bit_cast<u64>(value);
  else if constexpr (std::is_signed_v<T>) return static_cast<u64>(static_cast<i64>(value));
  else return value;
}

inline float from_bf16(u64 value) { return std::bit_cast<float>(static_cast<u32>(value) << 16); }
inline u16 to_bf16(float value) {
  const auto u = std::bit_cast<u32>(value);
  return (u & 0x7fffffffu) > 0x7f800000u ? u16{0x7fff} : static_cast<u16>((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}
// Tensor cores take the upper bits of a float.
inline float from_tf32(u64 value) { return std::bit_cast<float>(static_cast<u32>(value) & 0xffffe000u); }
inline u32 round_to_tf32(u32 value) {
  return (value & 0x7f800000u) == 0x7f800000u ? value : (value + 0xfffu + (value >> 13 & 1)) & 0xffffe000u;
}

// f.operator()<T>() for the type that the name stands for; null for others.
template <class F>
Execute for_integer(std::string_view type, F&& f) {
  if (type == "u32" || type == "b32") return f.template operator()<u32>();
  if (type == "s32") return f.template operator()<i32>();
  if (type == "u64" || type == "b64") return f.template operator()<u64>();
  if (type == "s64") return f.template operator()<i64>();
  if (type == "u16" || type == "b16") return f.template operator()<u16>();
  if (type == "s16") return f.template operator()<i16>();
  return nullptr;
}
template <class F>
Execute for_float(std::string_view type, F&& f) {
  if (type == "f32") return f.template operator()<float>();
  if (type == "f64") return f.template operator()<double>();
  return nullptr;
}
template <class F>
Execute for_number(std::string_view type, F&& f) {
  if (const Execute found = for_integer(type, f)) return found;
  return for_float(type, f);
}
template <class F>
Execute for_stored(std::string_view type, F&& f) {
  if (type == "u8" || type == "b8") return f.template operator()<u8>();
  if (type == "s8") return f.template operator()<i8>();
  return for_number(type, f);
}

}  // namespace ptx
