#include "core/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace heft {
namespace {

constexpr std::size_t kPage = 4096, kHugePage = 2 << 20;

std::size_t pages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

Arena::~Arena() {
  if (begin_) munmap(begin_, static_cast<std::size_t>(end_ - begin_));
}

void* Arena::allocate(std::size_t bytes, bool& grew) {
  grew = false;
  if (bytes > SIZE_MAX - kPage) return nullptr;
  const std::size_t size = pages(bytes);
  if (const auto found = by_size_.lower_bound({size, nullptr}); found != by_size_.end()) {
    const auto [available, block] = *found;
    const std::size_t trimmed = take(by_address_.find(block));
    if (available > size) {
      add(block + size, available - size);
      trimmed_ += std::min(trimmed, available - size);
    }
    return block;
  }
  if (!begin_ && !refused_) reserve();
  // The last block, if it is free, grows.
  char* block = top_;
  if (!by_address_.empty())
    if (const auto last = std::prev(by_address_.end()); last->first + last->second == top_) block = last->first;
  if (!begin_ || static_cast<std::size_t>(end_ - block) < size || !make_usable(block + size)) return nullptr;
  if (block != top_) take(by_address_.find(block));
  top_ = block + size;
  grew = true;
  return block;
}

// As many addresses as the machine has memory, or as few as leave the same number to everybody else under a limit (ulimit -v):
// twice as many are asked for, and half are given back. They become memory as it is needed, so that no other limit (ulimit -d,
// strict overcommit) counts what nobody uses, and mlockall() does not fetch it.
void Arena::reserve() {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::size_t range = static_cast<std::size_t>(std::max(sysconf(_SC_PHYS_PAGES), 1L)) * page / kHugePage * kHugePage;
  const auto map_twice = [](std::size_t bytes) {
    return mmap(nullptr, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  };
  void* mapped = MAP_FAILED;
  while (range >= 16 * kHugePage && (mapped = map_twice(range)) == MAP_FAILED) range = range / 2 / kHugePage * kHugePage;
  refused_ = mapped == MAP_FAILED;
  if (refused_) return;
  begin_ = static_cast<char*>(mapped);
  end_ = begin_ + range;
  munmap(end_, range);
  usable_ = top_ = begin_ + (kHugePage - reinterpret_cast<std::uintptr_t>(begin_) % kHugePage) % kHugePage;
  madvise(top_, static_cast<std::size_t>(end_ - top_), MADV_HUGEPAGE);  // fewer misses of the TLB; no harm if refused
}

// In whole huge pages: the system fills the last one of less with small ones.
bool Arena::make_usable(char* end) {
  if (end <= usable_) return true;
  const std::size_t wanted = (static_cast<std::size_t>(end - usable_) + kHugePage - 1) / kHugePage * kHugePage;
  const std::size_t bytes = std::min(wanted, static_cast<std::size_t>(end_ - usable_));
  if (mprotect(usable_, bytes, PROT_READ | PROT_WRITE) != 0) return false;
  usable_ += bytes;
  return true;
}

void Arena::release(void* block, std::size_t bytes) { add(static_cast<char*>(block), pages(bytes)); }

void Arena::trim() {
  for (const auto& [block, bytes] : by_address_) madvise(block, bytes, MADV_DONTNEED);
  trimmed_ = free_bytes_;
}

void Arena::add(char* begin, std::size_t bytes) {
  free_bytes_ += bytes;
  const auto next = by_address_.lower_bound(begin);
  if (next != by_address_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == begin) {
      begin = before->first;
      bytes += before->second;
      by_size_.erase({before->second, before->first});
      by_address_.erase(before);
    }
  }
  if (next != by_address_.end() && begin + bytes == next->first) {
    bytes += next->second;
    by_size_.erase({next->second, next->first});
    by_address_.erase(next);
  }
  by_address_[begin] = bytes;
  by_size_.insert({bytes, begin});
}

std::size_t Arena::take(std::map<char*, std::size_t>::iterator block) {
  const std::size_t trimmed = std::min(trimmed_, block->second);
  free_bytes_ -= block->second;
  trimmed_ -= trimmed;
  by_size_.erase({block->second, block->first});
  by_address_.erase(block);
  return trimmed;
}

}  // namespace heft
