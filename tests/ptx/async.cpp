// Copies to shared memory that go on beside the code, and what waits for them: groups (cp.async) and barriers (mbarrier).
#include <cstring>

#include "tests/ptx/memory.h"
#include "tests/ptx/operations.h"
#include "tests/ptx/options.h"
#include "tests/ptx/tensor_map.h"

namespace ptx {
namespace {

void carry_out(Warp& warp, u32 lane, const LaneCopy& copy) {
  u8* to = locate_shared(warp, lane, copy.to, copy.bytes, options().late ? Note::copy_arrives : Note::write);
  if (copy.valid > 0) {
    check_memory(copy.from, copy.valid);
    std::memcpy(to, reinterpret_cast<const void*>(copy.from), copy.valid);
  }
  std::memset(to + copy.valid, 0, copy.bytes - copy.valid);
}

// Operands: to, from, valid bytes; other: the offset of `from`; parts: the bytes.
void copy(Warp& warp, const Instruction& i, u32 lanes) {
  const u64 *to = warp.row(i.operands[0]), *from = warp.row(i.operands[1]), *valid = warp.row(i.operands[2]);
  for_each_lane(lanes, [&](u32 l) {
    const LaneCopy one{as<u32>(to[l] + static_cast<u64>(i.value)), from[l] + static_cast<u64>(i.other), i.parts,
                       as<u32>(valid[l])};
    if (one.to % one.bytes != 0 || (one.valid > 0 && one.from % one.bytes != 0))
      fail("lane {}: cp.async that is not aligned", l);
    if (one.valid > one.bytes) fail("lane {}: cp.async of {} bytes with {} valid ones", l, one.bytes, one.valid);
    if (!options().late) return carry_out(warp, l, one);
    locate_shared(warp, l, one.to, one.bytes, Note::copy_starts);
    warp.copies[l].open.push_back(one);
  });
}
void commit_copies(Warp& warp, const Instruction&, u32 lanes) {
  for_each_lane(lanes, [&](u32 l) { warp.copies[l].commit(); });
}
void wait_for_copies(Warp& warp, const Instruction& i, u32 lanes) {
  for_each_lane(lanes, [&](u32 l) {
    warp.copies[l].wait(static_cast<std::size_t>(i.value), [&](const LaneCopy& one) { carry_out(warp, l, one); });
  });
}

TransferBarrier& barrier_at(Block& block, u32 address) {
  const auto found = block.barriers.find(address);
  if (found == block.barriers.end()) fail("an mbarrier at {} that was not set up", address);
  return found->second;
}
void advance(TransferBarrier& barrier) {
  if (barrier.arrivals_left < 0) fail("an mbarrier got more than its {} arrivals", barrier.count);
  if (barrier.arrivals_left > 0 || barrier.bytes_left != 0) return;
  merge(barrier.clock, barrier.arrived);
  barrier.phase = !barrier.phase;
  barrier.arrivals_left = barrier.count;
}

// Operands: the barrier's address, and with it a count or bytes.
void set_up(Warp& warp, const Instruction& i, u32 lanes) {
  for_each_lane(lanes, [&](u32 l) {
    const u32 at = as<u32>(warp.row(i.operands[0])[l] + static_cast<u64>(i.value)), count = as<u32>(warp.row(i.operands[1])[l]);
    if (at % 8 != 0) fail("lane {}: an mbarrier at {}, which is not aligned", l, at);
    check_shared(*warp.block, l, at, 8);
    TransferBarrier barrier;
    barrier.count = count, barrier.arrivals_left = count;
    barrier.who = static_cast<u32>(warp.block->warps.size() + warp.block->barriers.size());
    warp.block->barriers[at] = barrier;
  });
}
void arrive(Warp& warp, const Instruction& i, u32 lanes) {  // with bytes to be expected, or none
  for_each_lane(lanes, [&](u32 l) {
    TransferBarrier& barrier = barrier_at(*warp.block, as<u32>(warp.row(i.operands[0])[l] + static_cast<u64>(i.value)));
    merge(barrier.arrived, warp.clock);
    if (i.operands.size() > 1) barrier.bytes_left += as<u32>(warp.row(i.operands[1])[l]);
    --barrier.arrivals_left;
    advance(barrier);
  });
  ++warp.clock[warp.number];
}
void look(Warp& warp, const Instruction& i, u32 lanes) {  // whether the phase of that parity has ended
  const u64 *at = warp.row(i.operands[1]), *parity = warp.row(i.operands[2]);
  u32 ended = 0;
  for_each_lane(lanes, [&](u32 l) {
    const TransferBarrier& barrier = barrier_at(*warp.block, as<u32>(at[l] + static_cast<u64>(i.value)));
    if (barrier.phase == ((parity[l] & 1) != 0)) return;
    ended |= 1u << l;
    merge(warp.clock, barrier.clock);
  });
  warp.set_predicate(i.operands[0], ended, lanes);
}

// Operands: to, the map, the corner, the barrier; parts: the rank.
void copy_box(Warp& warp, const Instruction& i, u32 lanes) {
  for_each_lane(lanes, [&](u32 l) {
    BoxCopy box{warp.row(i.operands[1])[l],
                {},
                i.parts,
                as<u32>(warp.row(i.operands[0])[l]),
                as<u32>(warp.row(i.operands[2 + i.parts])[l]),
                warp.number,
                warp.at,
                warp.clock};
    for (u32 k = 0; k < i.parts; ++k) box.corner[k] = as<i32>(warp.row(i.operands[2 + k])[l]);
    if (box.to % 128 != 0) fail("lane {}: a bulk copy to {}, which is not aligned to 128 bytes", l, box.to);
    warp.block->boxes.push_back(std::move(box));
  });
}

}  // namespace

void finish_copies(Warp& warp, u32 lanes) {
  for_each_lane(lanes, [&](u32 l) { warp.copies[l].wait(0, [&](const LaneCopy& one) { carry_out(warp, l, one); }); });
}

void deliver(Block& block, std::size_t which) {
  const BoxCopy box = block.boxes[which];
  block.boxes.erase(block.boxes.begin() + static_cast<std::ptrdiff_t>(which));
  Warp& warp = block.warps[box.warp];
  const u32 now_at = std::exchange(warp.at, box.at);  // failures and races are the copy's
  blame(&warp);
  check_memory(box.map, sizeof(TensorMap));
  TensorMap map;
  std::memcpy(&map, reinterpret_cast<const void*>(box.map), sizeof map);
  if (map.rank != box.rank) fail("a bulk copy of {} dimensions from a map of {}", box.rank, map.rank);
  TransferBarrier& barrier = barrier_at(block, box.barrier);
  ++barrier.boxes;
  u32 offset = 0;
  for (u32 w = 0; w < map.box[3]; ++w)
    for (u32 z = 0; z < map.box[2]; ++z)
      for (u32 y = 0; y < map.box[1]; ++y)
        for (u32 x = 0; x < map.box[0]; ++x, offset += 4) {
          const std::array<u32, 4> in_box = {x, y, z, w};
          u64 from = map.data;
          bool inside = true;
          for (u32 k = 0; k < 4; ++k) {
            const i64 at = i64{box.corner[k]} + in_box[k];
            inside = inside && at >= 0 && at < i64{map.extents[k]};
            from += static_cast<u64>(at) * map.strides[k];
          }
          u32 value = 0;
          if (inside) {
            check_memory(from, 4);
            std::memcpy(&value, reinterpret_cast<const void*>(from), 4);
            if (map.round_to_tf32) value = round_to_tf32(value);
          }
          const u32 to = swizzled(box.to + offset);
          check_shared(block, kWholeWarp, to, 4);
          if (options().races) note_box(warp, box.clock, barrier, to, 4);
          std::memcpy(block.shared.data() + to, &value, 4);
        }
  merge(barrier.arrived, box.clock);
  if (barrier.arrived.size() <= barrier.who) barrier.arrived.resize(barrier.who + 1);
  barrier.arrived[barrier.who] = barrier.boxes;
  barrier.bytes_left -= offset;
  advance(barrier);
  warp.at = now_at;
}

Execute find_async(const Opcode& o, Instruction& i) {
  if (o.name() == "cp") {
    if (o.has("bulk")) return o.has("tensor") && o.has("shared::cluster") ? copy_box : nullptr;
    if (o.has("commit_group")) return commit_copies;
    if (o.has("wait_group")) return wait_for_copies;
    return o.has("async") ? copy : nullptr;
  }
  if (o.name() == "mbarrier") {
    if (o.has("init")) return set_up;
    if (o.has("arrive")) return arrive;
    i.flow = Flow::poll;
    return o.has("try_wait") && o.has("parity") ? look : nullptr;
  }
  return nullptr;
}

}  // namespace ptx
