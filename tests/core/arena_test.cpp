#include "core/arena.h"

#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "tests/catch_compat.h"

using heft::Arena;

namespace {
constexpr std::size_t kMiB = 1 << 20;
}

TEST_CASE("arena: free neighbours become one, and the smallest that holds a request is taken", "[memory]") {
  Arena arena;
  bool grew = false;
  std::vector<char*> blocks;
  for (int i = 0; i < 6; ++i) blocks.push_back(static_cast<char*>(arena.allocate((i == 4 ? 1 : 2) * kMiB, grew)));
  REQUIRE(blocks[0] != nullptr);
  CHECK(grew);
  CHECK(arena.owns(blocks[5]));
  CHECK_FALSE(arena.owns(&arena));
  CHECK(blocks[1] == blocks[0] + 2 * kMiB);
  arena.release(blocks[1], 2 * kMiB);
  arena.release(blocks[4], kMiB);
  CHECK(arena.free_bytes() == 3 * kMiB);
  CHECK(arena.allocate(kMiB - 5, grew) == blocks[4]);
  CHECK_FALSE(grew);
  arena.release(blocks[2], 2 * kMiB);
  CHECK(arena.allocate(4 * kMiB, grew) == blocks[1]);
  CHECK_FALSE(grew);
  arena.release(blocks[0], 2 * kMiB);
  CHECK(arena.allocate(kMiB, grew) == blocks[0]);  // the rest stays free
  CHECK(arena.free_bytes() == kMiB);
  arena.release(blocks[5], 2 * kMiB);
  CHECK(arena.allocate(8 * kMiB, grew) == blocks[5]);  // the last one grows
  CHECK(grew);
  CHECK(arena.allocate(SIZE_MAX, grew) == nullptr);
  CHECK(arena.allocate(SIZE_MAX / 2, grew) == nullptr);
}

TEST_CASE("arena: blocks never overlap, whatever comes and goes", "[memory]") {
  Arena arena;
  std::mt19937 random(1);
  std::map<char*, std::size_t> live;
  std::size_t most = 0, in_use = 0;
  for (int step = 0; step < 4000; ++step) {
    if (live.size() > 40 || (!live.empty() && random() % 2)) {
      const auto block = std::next(live.begin(), static_cast<std::ptrdiff_t>(random() % live.size()));
      CHECK(block->first[0] == static_cast<char>(block->second));
      CHECK(block->first[block->second - 1] == static_cast<char>(block->second));
      arena.release(block->first, block->second);
      in_use -= block->second;
      live.erase(block);
    } else {
      const std::size_t bytes = 4096 * (1 + random() % 64);
      bool grew = false;
      auto* block = static_cast<char*>(arena.allocate(bytes, grew));
      REQUIRE(block != nullptr);
      const auto next = live.upper_bound(block);
      if (next != live.end()) REQUIRE(block + bytes <= next->first);
      if (next != live.begin()) REQUIRE(std::prev(next)->first + std::prev(next)->second <= block);
      block[0] = block[bytes - 1] = static_cast<char>(bytes);
      live[block] = bytes;
      in_use += bytes;
      most = std::max(most, in_use + arena.free_bytes());
    }
    if (step == 2000) {
      arena.trim();
      CHECK(arena.free_bytes() == 0);
    }
  }
  CHECK(most < 40 * 64 * 4096);
}
