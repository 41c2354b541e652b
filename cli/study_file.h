// A study as a TOML file describes it.
#pragma once

#include <string>

#include "train/study.h"

namespace heft::cli {

// Throws DataError where the file cannot be read, and ValueError naming file and line where it is not TOML, where a key is
// unknown (with the nearest that is known), and where a value is missing or of the wrong type.
train::Study read_study(const std::string& path);

}  // namespace heft::cli
