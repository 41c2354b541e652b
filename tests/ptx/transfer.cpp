// Values from register to register, from and to memory, and between the lanes of a warp.
#include <cstring>

#include "tests/ptx/memory.h"
#include "tests/ptx/operations.h"
#include "tests/ptx/options.h"

namespace ptx {
namespace {

void move(Warp& warp, const Instruction& i, u32 lanes) {
  u64* d = warp.row(i.operands[0]);
  const u64* a = warp.row(i.operands[1]);
  for_each_lane(lanes, [&](u32 l) { d[l] = a[l]; });
}
void move_predicate(Warp& warp, const Instruction& i, u32 lanes) {
  warp.set_predicate(i.operands[0], as<u32>(warp.predicate(i.operands[1])), lanes);
}

// value is added; the address of shared memory has 32 bits where it comes from.
void to_other_space(Warp& warp, const Instruction& i, u32 lanes) {
  u64* d = warp.row(i.operands[0]);
  const u64* a = warp.row(i.operands[1]);
  for_each_lane(lanes, [&](u32 l) { d[l] = (i.other ? u64{as<u32>(a[l])} : a[l]) + static_cast<u64>(i.value); });
}

// Where all lanes' accesses go, if they need no closer look: one allocation, aligned, no race to be watched for.
struct Places {
  Places(Warp& warp, const Instruction& i, u32 lanes, const u64* base, u64 bytes) {
    const bool shared = i.space == Space::shared;
    if (i.space == Space::local || (shared && options().races) || warp.block->meeting) return;
    u64 first = ~u64{0}, last = 0, low_bits = 0;
    for_each_lane(lanes, [&](u32 l) {
      const u64 address = base[l] + static_cast<u64>(i.value);
      at[l] = shared ? u64{as<u32>(address)} : address;
      first = std::min(first, at[l]), last = std::max(last, at[l]), low_bits |= at[l];
    });
    const u64 begin = shared ? u64{kSharedBase} : last_bounds.begin, end = shared ? warp.block->shared.size() : last_bounds.end;
    if (low_bits % bytes != 0 || first < begin || last + bytes > end) return;
    found = true;
    if (shared) {
      const auto memory = reinterpret_cast<u64>(warp.block->shared.data());
      for_each_lane(lanes, [&](u32 l) { at[l] += memory; });
    }
  }
  bool found = false;
  u64 at[kLanes];
};

// Calls f(lane, where) for the lanes of a load or a store. Operands: the values, then the base of the address, to which `value`
// is added.
template <class F>
void for_each_place(Warp& warp, const Instruction& i, u32 lanes, u32 bytes, bool write, const F& f) {
  const u64* base = warp.row(i.operands[i.parts]);
  const Places places(warp, i, lanes, base, bytes);
  if (places.found) {
    for_each_lane(lanes, [&](u32 l) { f(l, reinterpret_cast<u8*>(places.at[l])); });
  } else {
    for_each_lane(lanes, [&](u32 l) {
      const u64 address = base[l] + static_cast<u64>(i.value);
      f(l, locate(warp, i, l, i.space == Space::shared ? u64{as<u32>(address)} : address, bytes, write));
    });
  }
}

template <class T>
void load(Warp& warp, const Instruction& i, u32 lanes) {
  for_each_place(warp, i, lanes, sizeof(T) * i.parts, false, [&](u32 lane, const u8* from) {
    for (u32 part = 0; part < i.parts; ++part) {
      T v;
      std::memcpy(&v, from + part * sizeof(T), sizeof(T));
      warp.row(i.operands[part])[lane] = bits<T>(v);
    }
  });
}

template <class T>
void store(Warp& warp, const Instruction& i, u32 lanes) {
  for_each_place(warp, i, lanes, sizeof(T) * i.parts, true, [&](u32 lane, u8* to) {
    for (u32 part = 0; part < i.parts; ++part) {
      const T v = as<T>(warp.row(i.operands[part])[lane]);
      std::memcpy(to + part * sizeof(T), &v, sizeof(T));
    }
  });
}

void increment(Warp& warp, const Instruction& i, u32 lanes) {  // atom.inc: 0 again after the limit
  u64* d = warp.row(i.operands[0]);
  const u64 *base = warp.row(i.operands[1]), *limit = warp.row(i.operands[2]);
  tell_other_blocks(warp);
  for_each_lane(lanes, [&](u32 l) {
    const u64 address = base[l] + static_cast<u64>(i.value);
    if (address % 4 != 0) fail("lane {}: an atomic operation at {:#x}, which is not aligned", l, address);
    check_memory(address, 4);
    auto* at = reinterpret_cast<u8*>(address);
    u32 v;
    std::memcpy(&v, at, 4);
    d[l] = v;
    v = v >= as<u32>(limit[l]) ? 0 : v + 1;
    std::memcpy(at, &v, 4);
  });
}

void fence(Warp& warp, const Instruction&, u32) { warp.fenced = warp.clock[warp.number]++; }

void exchange(Warp& warp, const Instruction& i, u32 lanes) {  // shfl.bfly
  u64* d = warp.row(i.operands[0]);
  const u64 *b = warp.row(i.operands[2]), *c = warp.row(i.operands[3]);
  u64 values[kLanes];
  std::memcpy(values, warp.row(i.operands[1]), sizeof values);
  u32 inside = 0;
  for_each_lane(lanes, [&](u32 l) {
    const u32 clamp = c[l] & 31, segment = c[l] >> 8 & 31, other = l ^ (b[l] & 31);
    const bool taken = other <= ((l & segment) | (clamp & ~segment));
    if (taken && !(lanes >> other & 1)) fail("lane {}: shuffle with lane {}, which does not take part", l, other);
    d[l] = as<u32>(values[taken ? other : l]);
    inside |= static_cast<u32>(taken) << l;
  });
  if (i.operands.size() > 5) warp.set_predicate(i.operands[5], inside, lanes);
}

}  // namespace

void pack(Warp& warp, const Instruction& i, u32 lanes) {  // value: bits of a part
  u64* d = warp.row(i.operands[0]);
  const u64 mask = (u64{1} << i.value) - 1;
  for_each_lane(lanes, [&](u32 l) {
    u64 all = 0;
    for (u32 part = 0; part < i.parts; ++part) all |= (warp.row(i.operands[1 + part])[l] & mask) << (part * i.value);
    d[l] = all;
  });
}

void unpack(Warp& warp, const Instruction& i, u32 lanes) {
  const u64* a = warp.row(i.operands[i.parts]);
  const u64 mask = (u64{1} << i.value) - 1;
  for_each_lane(lanes, [&](u32 l) {
    const u64 all = a[l];
    for (u32 part = 0; part < i.parts; ++part) warp.row(i.operands[part])[l] = all >> (part * i.value) & mask;
  });
}

Execute find_transfer(const Opcode& o, Instruction& i) {
  const std::string& name = o.name();
  if (name == "mov") return o.type() == "pred" ? move_predicate : move;
  if (name == "ld") return for_stored(o.type(), []<class T>() -> Execute { return load<T>; });
  if (name == "st") return for_stored(o.type(), []<class T>() -> Execute { return store<T>; });
  if (name == "cvta") {  // cvta.shared.u64 makes an address generic, cvta.to.shared.u64 the other way
    const u64 window = o.has("shared") ? kSharedWindow : o.has("local") ? kLocalWindow : 0;
    i.value = static_cast<i64>(o.has("to") ? -window : window);
    i.other = o.has("shared") && !o.has("to");
    return to_other_space;
  }
  if (name == "atom") return o.has("inc") && o.has("global") && o.type() == "u32" ? increment : nullptr;
  if (name == "shfl" && o.has("bfly")) {
    i.flow = Flow::collective;
    i.members = 4;
    return exchange;
  }
  // A warp's accesses are in order here; only what blocks tell each other is checked.
  if (name == "membar") return fence;
  if (name == "fence") return nothing;  // the other ones
  if (name == "setmaxnreg") return nothing;
  return nullptr;
}

}  // namespace ptx
