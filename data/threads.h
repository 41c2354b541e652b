// Work in threads that end with it. Internal.
#pragma once

#include <cstddef>
#include <functional>

namespace heft::data {

// Calls work(i) for 0 <= i < n, on this thread and others up to `threads` in all; work must not throw. Not OpenMP's threads:
// they would outlive it, and a process that is forked later, as those of a study are, could not use any.
void in_threads(std::size_t n, int threads, const std::function<void(std::size_t)>& work);

}  // namespace heft::data
