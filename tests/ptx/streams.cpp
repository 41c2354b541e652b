#include "tests/ptx/streams.h"

#include <cstdlib>
#include <cstring>

#include "tests/ptx/memory.h"
#include "tests/ptx/options.h"

namespace ptx {
namespace {

std::vector<std::unique_ptr<Stream>>& streams() {
  static auto* all = new std::vector<std::unique_ptr<Stream>>;
  return *all;
}

}  // namespace

std::recursive_mutex& runtime_mutex() {
  static auto* one = new std::recursive_mutex;
  return *one;
}

Stream& make_stream() { return *streams().emplace_back(std::make_unique<Stream>()); }

void queue_work(Stream& stream, Work work) {
  constexpr std::size_t kMost = 4096;  // a real one is full at some time, too
  if (stream.capture) {
    stream.capture->work.push_back(std::move(work));
    return;
  }
  stream.queue.push_back({std::move(work)});
  if (stream.queue.size() > kMost) run_until([&] { return stream.queue.empty(); });
}

void run_until(const std::function<bool()>& done) {
  while (!done()) {
    std::vector<Stream*> able;
    for (const auto& stream : streams())
      if (stream->may_go_on()) able.push_back(stream.get());
    if (able.empty()) fail("a deadlock: streams wait for what nobody has queued");
    Stream& stream = *able[chance()() % able.size()];
    const Work work = std::move(stream.queue.front().work);
    stream.queue.pop_front();
    if (work) work();
  }
}

void run_all() {
  run_until([] {
    for (const auto& stream : streams())
      if (!stream->queue.empty()) return false;
    return true;
  });
}

void* allocate(std::size_t bytes, bool on_device) {
  const std::size_t room = (bytes + 512) / 512 * 512;
  auto* memory = static_cast<char*>(std::aligned_alloc(512, room));
  if (memory == nullptr) return nullptr;
  if (on_device) std::memset(memory, 0xff, room);
  add_memory(memory, bytes);
  return memory;
}

void release(void* memory) {
  if (memory == nullptr) return;
  run_all();  // as the real ones do
  if (!remove_memory(memory)) fail("memory that was not allocated is freed");
  std::free(memory);
}

}  // namespace ptx
