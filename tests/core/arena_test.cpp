#include "core/arena.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "core/sanitizer.h"
#include "tests/catch_compat.h"

using heft::Arena;

namespace {

constexpr std::size_t kMiB = 1 << 20;

#if !HEFT_ASAN  // which needs more addresses than these limits allow

std::size_t memory() {
  return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// Addresses that this process has (field 0 of statm), private memory that may be written (field 5), in bytes.
std::size_t held(int field) {
  std::size_t pages[7] = {};
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  REQUIRE(file != nullptr);
  for (std::size_t& value : pages) REQUIRE(std::fscanf(file, "%zu", &value) == 1);
  std::fclose(file);
  return pages[field] * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// What `work` says in a process with a limit.
template <class Work>
bool holds_under(decltype(RLIMIT_AS) limit, std::size_t bytes, const Work& work) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const rlimit value{bytes, bytes};
    _exit(setrlimit(limit, &value) == 0 && work() ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#endif

}  // namespace

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

#if !HEFT_ASAN
TEST_CASE("arena: under a limit on addresses it leaves as many to everybody else", "[memory]") {
  for (const std::size_t left : {256 * kMiB, memory() + 64 * kMiB})
    CHECK(holds_under(RLIMIT_AS, held(0) + left, [left] {
      Arena arena;
      bool grew = false;
      auto* block = static_cast<char*>(arena.allocate(16 * kMiB, grew));
      if (!block) return false;
      std::memset(block, 1, 16 * kMiB);
      return mmap(nullptr, left / 3, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
    }));
}

TEST_CASE("arena: what is not used yet is no memory, whoever counts it", "[memory]") {
  CHECK(holds_under(RLIMIT_DATA, held(5) + 256 * kMiB, [] {
    Arena arena;
    bool grew = false;
    auto* block = static_cast<char*>(arena.allocate(100 * kMiB, grew));
    if (!block) return false;
    std::memset(block, 1, 100 * kMiB);
    return arena.allocate(300 * kMiB, grew) == nullptr && arena.allocate(50 * kMiB, grew) != nullptr;
  }));
}
#endif
