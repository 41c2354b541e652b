// Turns: a warp's lanes at the lowest instruction go first, so that those that went apart meet again; a block's warps, and the
// copies under way, go on in an order that is left to chance.
#include <algorithm>
#include <cstring>

#include "tests/ptx/memory.h"
#include "tests/ptx/operations.h"
#include "tests/ptx/options.h"

namespace ptx {
namespace {

enum class Outcome { turn_over, at_barrier, waits, done };

// Some live lanes that are at one instruction, and where they meet others.
struct Group {
  u32 lanes, at, meets;
};
constexpr u32 kNowhere = ~0u;

Group next_group(Warp& warp) {
  if (warp.together) return {warp.live, warp.at, kNowhere};
  const u32 free = warp.live & ~warp.held;
  if (free == 0) fail("lanes {:#x} of a warp wait for each other at different collective instructions", warp.live);
  Group group{0, kNowhere, kNowhere};
  for_each_lane(free, [&](u32 l) { group.at = std::min(group.at, warp.place_of[l]); });
  for_each_lane(warp.live, [&](u32 l) {
    if (warp.place_of[l] == group.at) group.lanes |= 1u << l;
    else if (warp.place_of[l] > group.at) group.meets = std::min(group.meets, warp.place_of[l]);
  });
  warp.held &= ~group.lanes;
  if (group.lanes == warp.live) warp.together = true, group.meets = kNowhere;
  return group;
}

void put(Warp& warp, u32 lanes, u32 at) {
  if (warp.together && lanes != warp.live) {
    for_each_lane(warp.live, [&](u32 l) { warp.place_of[l] = warp.at; });
    warp.together = false;
  }
  if (warp.together) warp.at = at;
  else for_each_lane(lanes, [&](u32 l) { warp.place_of[l] = at; });
}

// Runs a warp until its turn is over, or it has to wait.
Outcome take_turn(Warp& warp, int turn) {
  const std::vector<Instruction>& code = warp.kernel->code;
  while (warp.live != 0) {
    Group group = next_group(warp);
    for (bool one_group = true; one_group;) {
      if (group.at == group.meets) {
        put(warp, group.lanes, group.at);
        break;
      }
      const Instruction& i = code[group.at];
      warp.at = group.at;
      u32 lanes = group.lanes;
      if (i.guard >= 0) lanes &= i.guard_negated ? ~as<u32>(warp.predicate(i.guard)) : as<u32>(warp.predicate(i.guard));
      --turn;
      if (lanes == 0) {
        ++group.at;
        continue;
      }
      switch (i.flow) {
        case Flow::next:
          i.execute(warp, i, lanes);
          ++group.at;
          break;
        case Flow::branch:
          if (lanes == group.lanes && warp.together && turn > 0) {
            group.at = static_cast<u32>(i.target);
          } else {
            put(warp, group.lanes & ~lanes, group.at + 1), put(warp, lanes, static_cast<u32>(i.target));
            one_group = false;
          }
          break;
        case Flow::exit:
          finish_copies(warp, lanes);
          put(warp, group.lanes & ~lanes, group.at + 1);
          warp.live &= ~lanes, warp.held = 0;
          one_group = false;
          break;
        case Flow::collective:
        case Flow::barrier: {
          if (lanes != group.lanes) fail("a collective instruction that a part of the lanes that come to it leave out");
          u32 wanted = warp.live;
          if (i.members >= 0)
            wanted &= as<u32>(warp.row(i.operands[static_cast<std::size_t>(i.members)])[std::countr_zero(lanes)]);
          if ((wanted & ~lanes) != 0) {
            put(warp, lanes, group.at);
            warp.held |= lanes;
            one_group = false;
          } else if (i.flow == Flow::collective) {
            i.execute(warp, i, lanes);
            ++group.at;
          } else {
            put(warp, lanes, group.at + 1);
            warp.barrier = &i, warp.barrier_lanes = lanes;
            return Outcome::at_barrier;
          }
          break;
        }
        case Flow::poll:
          i.execute(warp, i, lanes);
          put(warp, group.lanes, ++group.at);
          if ((as<u32>(warp.predicate(i.operands[0])) & lanes) != lanes) return Outcome::waits;
          break;
      }
    }
    if (turn <= 0 && warp.live != 0) return Outcome::turn_over;
  }
  return Outcome::done;
}

// Lets the warps go on that wait at a barrier to which all have come that it waits for.
void open_barriers(Block& block) {
  std::map<i64, std::vector<Warp*>> waiting;
  u32 running = 0;
  for (Warp& warp : block.warps) {
    if (warp.state == Warp::State::at_barrier) waiting[warp.barrier->value].push_back(&warp);
    if (warp.state != Warp::State::done) ++running;
  }
  for (auto& [number, warps] : waiting) {
    const i64 threads = warps[0]->barrier->other;  // 0: all of the block
    if (threads > 0 ? i64{kLanes} * static_cast<i64>(warps.size()) < threads : warps.size() < running) continue;
    bool any = false;  // of what bar.red.or is given
    Clock clock;
    for (Warp* warp : warps) {
      merge(clock, warp->clock);
      if (!warp->barrier->operands.empty())
        any = any || (as<u32>(warp->predicate(warp->barrier->operands[1])) & warp->barrier_lanes) != 0;
    }
    for (Warp* warp : warps) {
      if (!warp->barrier->operands.empty())
        warp->set_predicate(warp->barrier->operands[0], any ? kAllLanes : 0, warp->barrier_lanes);
      warp->clock = clock;
      ++warp->clock[warp->number], ++warp->lanes_ordered;
      warp->state = Warp::State::ready;
    }
  }
}

void set_up(Warp& warp, Block& block, u32 number, const std::array<u32, 3>& grid, const std::array<u32, 3>& size,
            const std::array<u32, 3>& at) {
  Kernel& kernel = *block.kernel;
  const u32 threads = size[0] * size[1] * size[2], lanes = std::min(kLanes, threads - kLanes * number);
  warp.block = &block, warp.kernel = &kernel, warp.number = number;
  warp.constant_rows = kernel.constant_rows.data();
  warp.state = Warp::State::ready;
  warp.live = lanes == kLanes ? kAllLanes : (1u << lanes) - 1;
  warp.held = 0, warp.together = true, warp.at = 0;
  // What was never written is no number that could pass for one.
  warp.registers.assign(std::size_t{kLanes} * static_cast<std::size_t>(kernel.registers), 0xfffefffefffefffeu);
  warp.local.assign(std::size_t{kLanes} * kernel.local_bytes, 0xff);
  warp.products.clear();
  for (auto& queue : warp.copies) queue.clear();
  warp.clock.assign(block.warps.size(), 0);
  warp.clock[number] = 1, warp.lanes_ordered = 0, warp.fenced = 0;
  for (u32 l = 0; l < kLanes; ++l) {
    const u32 thread = kLanes * number + l;
    const std::array<u32, 3> in_block = {thread % size[0], thread / size[0] % size[1], thread / size[0] / size[1]};
    for (int axis = 0; axis < 3; ++axis) {
      const auto k = static_cast<std::size_t>(axis);
      warp.row(kTid + axis)[l] = in_block[k], warp.row(kCtaid + axis)[l] = at[k];
      warp.row(kNtid + axis)[l] = size[k], warp.row(kNctaid + axis)[l] = grid[k];
    }
    warp.row(kLaneId)[l] = l, warp.row(kCarry)[l] = 0;
  }
}

void run_block(Block& block) {
  constexpr int kPatience = 200000;  // turns of which every one ends in waiting
  int idle = 0;
  std::vector<u32> ready;
  for (;;) {
    ready.clear();
    bool all_done = true;
    for (const Warp& warp : block.warps) {
      if (warp.state == Warp::State::ready) ready.push_back(warp.number);
      all_done = all_done && warp.state == Warp::State::done;
    }
    if (all_done) break;
    if (!block.boxes.empty() && (ready.empty() || idle > 0 || chance()() % 4 == 0)) {
      deliver(block, chance()() % block.boxes.size());
      idle = 0;
      continue;
    }
    if (ready.empty()) fail("a deadlock: every warp of a block waits at a barrier");
    Warp& warp = block.warps[ready[chance()() % ready.size()]];
    blame(&warp);
    const Outcome outcome = take_turn(warp, static_cast<int>(64 + chance()() % 1024));
    idle = outcome == Outcome::waits ? idle + 1 : 0;
    if (idle > kPatience) fail("a deadlock: the warps of a block wait for an mbarrier");
    if (outcome == Outcome::done) warp.state = Warp::State::done;
    if (outcome == Outcome::at_barrier) warp.state = Warp::State::at_barrier;
    if (outcome == Outcome::done || outcome == Outcome::at_barrier) open_barriers(block);
  }
  if (!block.boxes.empty()) fail("a block that ends with bulk copies under way");
  blame(nullptr);
}

}  // namespace

void run_grid(Kernel& kernel, const std::array<u32, 3>& grid, const std::array<u32, 3>& size, u32 dynamic_shared,
              const char* parameters) {
  static Block block;  // its memory serves the next one
  std::memcpy(kernel.parameter_memory, parameters, kernel.parameter_bytes);
  const u32 threads = size[0] * size[1] * size[2];
  block.kernel = &kernel;
  block.warps.resize((threads + kLanes - 1) / kLanes);
  Meeting meeting;
  block.meeting = kernel.blocks_meet && options().races ? &meeting : nullptr;
  const u64 blocks = u64{grid[0]} * grid[1] * grid[2], first = chance()() % blocks;
  const bool backwards = chance()() % 2 == 1;
  for (u64 k = 0; k < blocks; ++k) {
    const u64 place = (first + (backwards ? blocks - k : k)) % blocks;
    const std::array<u32, 3> at = {static_cast<u32>(place % grid[0]), static_cast<u32>(place / grid[0] % grid[1]),
                                   static_cast<u32>(place / grid[0] / grid[1])};
    block.shared.assign(kSharedBase + kernel.shared_bytes + dynamic_shared, 0xff);
    block.barriers.clear();
    ++block.number;
    for (u32 number = 0; number < block.warps.size(); ++number) set_up(block.warps[number], block, number, grid, size, at);
    run_block(block);
  }
  block.meeting = nullptr;
}

}  // namespace ptx
