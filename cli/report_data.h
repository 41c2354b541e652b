// What the page of heft report shows, as its script gets it: read from folders, checked, and cut to what a page can hold.
#pragma once

#include <string>

#include "cli/json_file.h"

namespace heft::cli {

// The folder of a heft train; the formats are those of train/metrics_log.h and train/recorder.h. Of the recorder's files any
// may be missing. Throws DataError.
Json run_data(const std::string& folder);

// The folder of a heft study (train/study_table.h).
bool is_study(const std::string& folder);
Json study_data(const std::string& folder);

// Numbers the runs (as `family`) so that those whose settings differ in lambda and the seed alone share one.
void number_families(Json& runs);

}  // namespace heft::cli
