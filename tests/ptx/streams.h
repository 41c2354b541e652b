// Streams, events and graphs. What is queued is done when somebody waits for it, and streams take turns by chance: work that
// nothing keeps in order shows.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "tests/ptx/machine.h"

namespace ptx {

using Work = std::function<void()>;

struct Event {
  u64 recorded = 0, done = 0;  // how often
};

struct Graph {
  std::vector<Work> work;
};

struct Stream {
  struct Queued {
    Work work;
    const Event* after = nullptr;  // not before it was done so often
    u64 times = 0;
  };
  bool may_go_on() const {
    return !queue.empty() && (!queue.front().after || queue.front().after->done >= queue.front().times);
  }
  std::deque<Queued> queue;
  std::unique_ptr<Graph> capture;  // null: none is going on
};

Stream& make_stream();
// At the end of the stream, or of what it captures.
void queue_work(Stream& stream, Work work);
void run_until(const std::function<bool()>& done);
void run_all();

// Memory of the device and pinned memory of the host; filled with what is no number. Null is not freed.
void* allocate(std::size_t bytes, bool on_device);
void release(void* memory);

// Every call of the runtime holds it.
std::recursive_mutex& runtime_mutex();

}  // namespace ptx
