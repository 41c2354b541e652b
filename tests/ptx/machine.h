// What kernels that were read from PTX run on: blocks of warps of 32 lanes. A register is a row of 32 values, one a lane, and
// an instruction is carried out at once for all lanes of a warp that have come to it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace ptx {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;

constexpr u32 kLanes = 32, kAllLanes = ~0u;

struct Warp;
struct Instruction;
struct Module;

// Carries an instruction out for the lanes whose bits are set.
using Execute = void (*)(Warp&, const Instruction&, u32 lanes);

enum class Flow : u8 {
  next,
  branch,
  exit,
  collective,  // all lanes together: products, shuffles
  barrier,     // waits for other warps of the block
  poll         // gives the warp up for now where it is told to wait
};

enum class Space : u8 { generic, global, shared, local };

// Where generic addresses of shared and local memory lie; all others are addresses of the process.
constexpr u64 kSharedWindow = u64{1} << 60, kLocalWindow = u64{1} << 61;
// Shared memory begins where the hardware has it begin for programs: the first KiB is its own.
constexpr u32 kSharedBase = 1024;

struct Instruction {
  Execute execute = nullptr;
  Flow flow = Flow::next;
  Space space = Space::generic;
  bool guard_negated = false;
  u8 parts = 1;               // of a vector: {%r1, %r2}
  int guard = -1;             // the predicate's register, or none
  int members = -1;           // which operand names the lanes that a collective one waits for; none: all
  int target = -1;            // of a branch
  i64 value = 0, other = 0;   // by the instruction: offsets, counts, shapes
  std::vector<int> operands;  // registers from 0 on; constants of the kernel below 0
  int file = 0, line = 0;     // of the source
  std::string text;
};

// Registers that every kernel has, before its own.
enum Special : int {
  kTid,
  kCtaid = kTid + 3,
  kNtid = kCtaid + 3,
  kNctaid = kNtid + 3,
  kLaneId = kNctaid + 3,
  kCarry,
  kSpecials
};

struct Parameter {
  std::size_t offset, size;
};

struct Kernel {
  std::string name;
  const Module* module = nullptr;
  std::vector<Instruction> code;
  int registers = kSpecials;
  u32 local_bytes = 0;       // of a lane
  u32 shared_bytes = 0;      // of a block, without what a launch adds
  int most_threads = 0;      // of a block; 0: not said
  bool blocks_meet = false;  // it has atomic operations, by which blocks tell each other what they have written
  std::vector<u64> constants;
  std::vector<u64> constant_rows;  // 32 times each
  std::vector<Parameter> parameters;
  std::size_t parameter_bytes = 0;
  char* parameter_memory = nullptr;  // where a launch puts them: code has its address
};

// A copy from global to shared memory that a lane has asked for (cp.async).
struct LaneCopy {
  u32 to;
  u64 from;
  u32 bytes, valid;  // zeros after the valid ones
};

// A product of a warpgroup under way: its operands are read when it is waited for.
struct PendingProduct {
  const Instruction* instruction;
  std::vector<u64> operands;  // the rows of a and b as they were
};

// What a warp knows to have happened in each warp of the block and, behind these, at each of its mbarriers: the boxes that it
// has seen arrive.
using Clock = std::vector<u32>;
inline u32 time_of(const Clock& clock, u32 who) { return who < clock.size() ? clock[who] : 0; }

// How far a lane is with what it was told to do later: groups that were committed, the oldest first, and what comes after them.
template <class T>
struct Queue {
  std::vector<T> open;
  std::deque<std::vector<T>> groups;
  void commit() {
    groups.push_back(std::move(open));
    open.clear();
  }
  template <class Do>
  void wait(std::size_t most_pending, const Do& carry_out) {
    for (; groups.size() > most_pending; groups.pop_front())
      for (const T& one : groups.front()) carry_out(one);
  }
  void clear() { open.clear(), groups.clear(); }
};

struct Block;

struct Warp {
  enum class State : u8 { ready, at_barrier, done };

  u64* row(int operand) {
    return operand >= 0 ? registers.data() + std::size_t{kLanes} * static_cast<std::size_t>(operand)
                        : constant_rows + std::size_t{kLanes} * static_cast<std::size_t>(-operand - 1);
  }
  // Predicates are kept as a bit a lane in the first value of their row.
  u64& predicate(int operand) { return *row(operand); }
  void set_predicate(int operand, u32 bits, u32 lanes) {
    u64& all = predicate(operand);
    all = (all & ~u64{lanes}) | (bits & lanes);
  }

  Block* block = nullptr;
  Kernel* kernel = nullptr;
  u32 number = 0;  // in the block
  State state = State::ready;
  u32 live = 0;          // lanes that have not ended
  u32 held = 0;          // of these, lanes that wait at a collective instruction for the others
  bool together = true;  // all live lanes are at `at`; otherwise each at its place_of
  u32 at = 0;            // also, while it runs, the instruction that is carried out
  u32 place_of[kLanes] = {};
  const Instruction* barrier = nullptr;
  u32 barrier_lanes = 0;
  std::vector<u64> registers;
  u64* constant_rows = nullptr;
  std::vector<u8> local;
  std::array<Queue<LaneCopy>, kLanes> copies;
  Queue<PendingProduct> products;
  Clock clock;
  u32 lanes_ordered = 0;  // how often its lanes have been, by a barrier of the block
  u32 fenced = 0;         // its own time at its last fence
};

// mbarrier: a phase ends with so many arrivals and as many bytes as were expected.
struct TransferBarrier {
  u32 count = 0;
  bool phase = false;
  i64 arrivals_left = 0, bytes_left = 0;
  Clock arrived, clock;  // what those knew that have arrived in this phase; in the phases that have ended
  u32 who = 0;           // its place in clocks
  u32 boxes = 0;         // that came
};

// A box of a tensor on its way to shared memory (cp.async.bulk.tensor).
struct BoxCopy {
  u64 map;
  std::array<i32, 4> corner;
  u32 rank, to, barrier;
  u32 warp, at;
  Clock clock;
};

// Who touched a byte of shared memory last: warps, or mbarriers for the boxes that they count, by their places in clocks. A
// lane may also be all of a warp, or several (memory.h).
struct Touch {
  struct Read {
    u32 time, at, order;
    u8 lane;
  };
  u32 block = 0;  // what was noted for another one counts for nothing
  u32 write_time = 0, write_at = 0, write_order = 0;
  u8 write_warp = 0, write_lane = 0;
  u32 copies = 0;   // under way to it (cp.async)
  u32 readers = 0;  // since then: a bit a warp
  Read reads[kLanes];
};

// Who wrote a byte of global memory last, of a launch whose blocks meet.
struct GlobalWrite {
  u32 block, warp, time, at;
};

// What the blocks of a launch have written so far, and what each knew when it last told the others.
struct Meeting {
  std::unordered_map<u64, GlobalWrite> writes;  // by address
  std::unordered_map<u32, Clock> told;          // by the block's number
};

struct Block {
  Kernel* kernel = nullptr;
  std::vector<Warp> warps;
  std::vector<u8> shared;  // from address 0 on, kSharedBase included
  std::map<u32, TransferBarrier> barriers;
  std::vector<BoxCopy> boxes;  // under way
  u32 number = 0;              // of all blocks that ever ran
  std::vector<Touch> touched;  // of each byte of shared memory
  Meeting* meeting = nullptr;  // null: the kernel's blocks do not meet
};

// Runs a grid, block by block in a random order, the warps of a block in turns of random length.
void run_grid(Kernel& kernel, const std::array<u32, 3>& grid, const std::array<u32, 3>& block, u32 dynamic_shared,
              const char* parameters);

}  // namespace ptx
