// Memory that kernels may touch, and races on what a block shares.
#pragma once

#include <cstddef>

#include "tests/ptx/machine.h"

namespace ptx {

// Global memory: device memory, pinned memory, a module's variables, a kernel's parameters.
void add_memory(const void* begin, std::size_t bytes);
bool remove_memory(const void* begin);  // false: nothing begins there
bool is_memory(const void* address);
// The allocation that the last check was in; every access but the first to it is compared with this alone.
struct Bounds {
  u64 begin = 1, end = 0;
};
extern Bounds last_bounds;
// Fails outside of all of it.
void check_memory(u64 address, u64 bytes);

// A collective access has no lane: several lanes of a warp then do not race with each other.
constexpr u32 kWholeWarp = 255;

// Where an access of a lane goes, for the instruction's space; fails where it is outside, or not aligned to its size.
u8* locate(Warp& warp, const Instruction& instruction, u32 lane, u64 address, u32 bytes, bool write);

// Races: two touches of a piece of shared memory, one of them a write, of which neither is known to come first. A warp's clock
// counts its barriers, and what it waits for tells it the clocks of those that were there before; lanes of a warp are ordered
// by its own barriers alone.
// A copy that a lane has started may arrive at any time until it is waited for.
enum class Note : u8 { read, write, copy_starts, copy_arrives };
// Where that is, if it is inside and no race.
u8* locate_shared(Warp& warp, u32 lane, u32 address, u32 bytes, Note note);
void check_shared(const Block& block, u32 lane, u32 address, u32 bytes);
// A box that arrives: `clock` is what was known when it was asked for. Who has waited for its mbarrier knows of it.
void note_box(Warp& warp, const Clock& clock, const TransferBarrier& barrier, u32 address, u32 bytes);
void merge(Clock& into, const Clock& from);
// The same between the blocks of a launch: what a warp of another block has written, before a fence of its own, may be touched
// once an atomic operation of that block came after that. Each takes one of its own before it looks, which is not checked.
void tell_other_blocks(Warp& warp);

}  // namespace ptx
