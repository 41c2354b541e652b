// What a command says of the files that it leaves out.
#pragma once

#include <vector>

#include "data/image_scan.h"

namespace heft::cli {

// The first ones by name, with the reason.
void print_skipped(const std::vector<data::BrokenFile>& skipped);

}  // namespace heft::cli
