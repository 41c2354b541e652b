// Internal: how the files of a run are written down, for train/recorder.cpp.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/metrics.h"
#include "train/hard_samples.h"

namespace heft::train::record {

using Json = nlohmann::ordered_json;

// On one line. Bytes that are not UTF-8 (a class name may hold any) are replaced.
std::string text(const Json& json);

// 6 digits; null unless finite.
Json short_number(double x);
Json short_numbers(const std::vector<double>& values);

// Pixels in hex; a clean label that is unknown is null.
Json to_json(const HardSample& sample);
// Rows of counts, by true class.
Json to_json(const data::ConfusionMatrix& confusion);

// The lines of a file that a run resumed with `epoch` keeps: those before the first that is of that epoch, or a later one, or
// damaged. 0 where there is no file.
std::int64_t lines_before(const std::string& path, int epoch);

}  // namespace heft::train::record
