#include "tests/ptx/memory.h"

#include <algorithm>

#include "tests/ptx/operations.h"
#include "tests/ptx/options.h"

namespace ptx {
namespace {

std::map<u64, Bounds>& allocations() {  // by their beginnings
  static auto* all = new std::map<u64, Bounds>;
  return *all;
}

bool within(const Bounds& bounds, u64 address, u64 bytes) {
  return address >= bounds.begin && address <= bounds.end && bytes <= bounds.end - address;
}

const Bounds* find(u64 address, u64 bytes) {
  const auto after = allocations().upper_bound(address);
  if (after == allocations().begin()) return nullptr;
  const Bounds& bounds = std::prev(after)->second;
  return within(bounds, address, bytes) ? &bounds : nullptr;
}

constexpr u8 kSeveralLanes = 254;

[[noreturn]] void race(const Warp& warp, const char* kind, u32 lane, u32 at, u32 other_warp, u32 other_lane) {
  fail("race in shared memory, {}: lane {} after warp {} lane {} at {}", kind, lane, other_warp, other_lane,
       describe(*warp.kernel, at));
}

}  // namespace

Bounds last_bounds;

void add_memory(const void* begin, std::size_t bytes) {
  const auto at = reinterpret_cast<u64>(begin);
  allocations()[at] = {at, at + bytes};
}

bool remove_memory(const void* begin) {
  last_bounds = {};
  return allocations().erase(reinterpret_cast<u64>(begin)) > 0;
}

bool is_memory(const void* address) { return find(reinterpret_cast<u64>(address), 1) != nullptr; }

void check_memory(u64 address, u64 bytes) {
  if (within(last_bounds, address, bytes)) return;
  const Bounds* found = find(address, bytes);
  if (!found) fail("access of {} bytes at {:#x}, outside of every allocation", bytes, address);
  last_bounds = *found;
}

void tell_other_blocks(Warp& warp) {
  if (!warp.block->meeting) return;
  Clock& told = warp.block->meeting->told[warp.block->number];
  told.resize(warp.block->warps.size());
  for (u32 other = 0; other < told.size(); ++other)
    told[other] = std::max(told[other], std::min(time_of(warp.clock, other), warp.block->warps[other].fenced));
  ++warp.clock[warp.number];
}

namespace {

// A byte that is touched by `self`, of which `lane` is one lane or not; `clock` is what it knows.
struct Toucher {
  const Warp& warp;
  const Clock& clock;
  u32 self, lane;

  bool one_lane() const { return lane < kLanes; }
  void after_write(const Touch& t, bool reads) const {
    if (t.copies > 0) race(warp, "an asynchronous copy is under way", lane, t.write_at, t.write_warp, t.write_lane);
    if (t.write_time == 0) return;
    if (self == warp.number && t.write_warp == self
            ? one_lane() && t.write_lane < kLanes && t.write_lane != lane && t.write_order == warp.lanes_ordered
            : time_of(clock, t.write_warp) < t.write_time)
      race(warp, reads ? "read after write" : "write after write", lane, t.write_at, t.write_warp, t.write_lane);
  }
  void after_reads(const Touch& t) const {
    for_each_lane(t.readers, [&](u32 other) {
      const Touch::Read& read = t.reads[other];
      if (other != warp.number ? time_of(clock, other) < read.time
                               : one_lane() && read.lane != kWholeWarp && read.lane != lane && read.order == warp.lanes_ordered)
        race(warp, "write after read", lane, read.at, other, read.lane);
    });
  }
};

template <class F>
void for_each_byte(Block& block, u32 address, u32 bytes, const F& f) {
  if (block.touched.size() < block.shared.size()) block.touched.resize(block.shared.size());
  for (u32 at = address; at < address + bytes; ++at) {
    Touch& t = block.touched[at];
    if (t.block != block.number) t.block = block.number, t.write_time = 0, t.readers = 0, t.copies = 0;
    f(t);
  }
}

void note_touch(Warp& warp, u32 lane, u32 address, u32 bytes, Note note) {
  const u32 self = warp.number, now = warp.clock[self];
  const Toucher toucher{warp, warp.clock, self, lane};
  for_each_byte(*warp.block, address, bytes, [&](Touch& t) {
    if (note == Note::copy_arrives) --t.copies;
    toucher.after_write(t, note == Note::read);
    if (note == Note::read) {
      Touch::Read& mine = t.reads[self];
      const bool others = (t.readers >> self & 1) && mine.order == warp.lanes_ordered && mine.lane != lane;
      mine = {now, warp.at, warp.lanes_ordered, others ? kSeveralLanes : static_cast<u8>(lane)};
      t.readers |= 1u << self;
      return;
    }
    toucher.after_reads(t);
    if (note == Note::copy_starts) ++t.copies;
    else t.readers = 0, t.write_time = now;
    t.write_at = warp.at, t.write_order = warp.lanes_ordered;
    t.write_warp = static_cast<u8>(self), t.write_lane = static_cast<u8>(lane);
  });
}

void note_global_touch(Warp& warp, u32 lane, u64 address, u32 bytes, bool write) {
  Meeting& meeting = *warp.block->meeting;
  const u32 block = warp.block->number;
  for (u64 at = address; at < address + bytes; ++at) {
    if (const auto found = meeting.writes.find(at); found != meeting.writes.end()) {
      const GlobalWrite& last = found->second;
      const auto told = meeting.told.find(last.block);
      const bool known = last.block == block ? last.warp == warp.number || warp.clock[last.warp] >= last.time
                                             : told != meeting.told.end() && told->second[last.warp] >= last.time;
      if (!known)
        fail("race in global memory: lane {} touches what warp {} of {} block has written without telling, at {}", lane,
             last.warp, last.block == block ? "its" : "another", describe(*warp.kernel, last.at));
    }
    if (write) meeting.writes[at] = {block, warp.number, warp.clock[warp.number], warp.at};
  }
}

}  // namespace

void check_shared(const Block& block, u32 lane, u32 address, u32 bytes) {
  if (address < kSharedBase || address > block.shared.size() || bytes > block.shared.size() - address)
    fail("{}access of {} bytes at {} of {} bytes of shared memory", lane < kLanes ? fmt::format("lane {}: ", lane) : "", bytes,
         static_cast<i64>(address) - kSharedBase, block.shared.size() - kSharedBase);
}

u8* locate_shared(Warp& warp, u32 lane, u32 address, u32 bytes, Note note) {
  check_shared(*warp.block, lane, address, bytes);
  if (options().races) note_touch(warp, lane, address, bytes, note);
  return warp.block->shared.data() + address;
}

u8* locate(Warp& warp, const Instruction& instruction, u32 lane, u64 address, u32 bytes, bool write) {
  Space space = instruction.space;
  if (space == Space::generic) {
    space = address >= kLocalWindow ? Space::local : address >= kSharedWindow ? Space::shared : Space::global;
    address &= kSharedWindow - 1;
  }
  if (address % bytes != 0) fail("lane {}: access of {} bytes at {:#x}, which is not aligned to them", lane, bytes, address);
  if (space == Space::shared)
    return locate_shared(warp, lane, static_cast<u32>(address), bytes, write ? Note::write : Note::read);
  if (space == Space::local) {
    if (address > warp.kernel->local_bytes || bytes > warp.kernel->local_bytes - address)
      fail("lane {}: access outside of its local memory", lane);
    return warp.local.data() + u64{lane} * warp.kernel->local_bytes + address;
  }
  check_memory(address, bytes);
  if (warp.block->meeting) note_global_touch(warp, lane, address, bytes, write);
  return reinterpret_cast<u8*>(address);
}

void note_box(Warp& warp, const Clock& clock, const TransferBarrier& barrier, u32 address, u32 bytes) {
  const Toucher toucher{warp, clock, barrier.who, kWholeWarp};
  for_each_byte(*warp.block, address, bytes, [&](Touch& t) {
    toucher.after_write(t, false);
    toucher.after_reads(t);
    t.readers = 0, t.write_time = barrier.boxes, t.write_at = warp.at;
    t.write_warp = static_cast<u8>(barrier.who), t.write_lane = kWholeWarp;
  });
}

void merge(Clock& into, const Clock& from) {
  if (into.size() < from.size()) into.resize(from.size());
  for (std::size_t k = 0; k < from.size(); ++k) into[k] = std::max(into[k], from[k]);
}

}  // namespace ptx
