// Files that are either the old version or the new one, whatever happens in between.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace heft::train {

// Appends bytes to the file being written.
using Sink = std::function<void(const void* bytes, std::size_t count)>;

// Calls write(sink) on a temporary file in the folder of `path`, then syncs it, renames it to `path` and syncs the
// folder: a reader, or the machine after a power cut, finds the old contents or all of the new. If anything throws, the
// temporary file is removed and `path` is as before. Throws WriteError naming the file and the system's reason.
void write_atomically(const std::string& path, const std::function<void(const Sink&)>& write);
void write_atomically(const std::string& path, std::string_view text);

// What has been written to `path` is on the disk when it returns. Throws WriteError.
void sync_file(const std::string& path);

// Throws the WriteError of the system call or the stream that has just failed to write `path` for `op`.
[[noreturn]] void fail_to_write(const char* op, const std::string& path);

// A process that is killed leaves its temporary files. Removes those in `folder` (not in folders within it) that no living
// process writes; of this one's, all: call it before anything is written there. Nothing happens where there is no folder.
void remove_stale_temporaries(const std::string& folder);

}  // namespace heft::train
