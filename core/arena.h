// Large blocks of host memory out of one range of addresses. Kept by size, as small ones are, what a network's last layers
// have freed would not do for its first ones, whose images are larger. Here free neighbours become one, and each request takes
// the smallest that holds it. Internal.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <utility>

namespace heft {

// Not thread-safe.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  // Aligned to a page; nullptr where the system has no such range, or it is full. `grew`: set where memory that has not been
  // used before is part of it.
  void* allocate(std::size_t bytes, bool& grew);
  bool owns(const void* block) const { return block >= begin_ && block < end_; }
  void release(void* block, std::size_t bytes);
  // In free blocks, less those whose pages went back to the system and, as far as that is known, still are there.
  std::size_t free_bytes() const { return free_bytes_ - trimmed_; }
  // Hands the pages of free blocks back to the system.
  void trim();

 private:
  void add(char* begin, std::size_t bytes);
  void reserve();
  // Makes addresses in front of `end` memory. False where the system has no more.
  bool make_usable(char* end);
  // How many of its bytes may have been trimmed.
  std::size_t take(std::map<char*, std::size_t>::iterator block);

  char *begin_ = nullptr, *top_ = nullptr, *end_ = nullptr;  // nothing from top_ on has been used yet
  char* usable_ = nullptr;                                   // from here on there are addresses and no memory
  bool refused_ = false;
  std::map<char*, std::size_t> by_address_;
  std::set<std::pair<std::size_t, char*>> by_size_;
  std::size_t free_bytes_ = 0, trimmed_ = 0;
};

}  // namespace heft
