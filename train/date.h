// Internal. Now, for the records of a run.
#pragma once

#include <string>

namespace heft::train {

std::string now_utc();  // "2026-01-31T12:00:00Z"

}  // namespace heft::train
