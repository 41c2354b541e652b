// A study as a TOML file describes it.
#pragma once

#include <string>

#include "train/study.h"

namespace heft::cli {

// Throws DataError where the file cannot be read or is larger than 1 MB, and ValueError naming file and line where it is not
// TOML, where a key is unknown (with the nearest that is known), and where a value is missing or of the wrong type.
train::Study read_study(const std::string& path);
// Of its text; `path` is for errors, and for a study's name where it has none.
train::Study parse_study(const std::string& text, const std::string& path);

}  // namespace heft::cli
