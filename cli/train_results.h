// What heft train has to say in the end.
#pragma once

#include <string>

#include "train/best_epoch.h"
#include "train/recipe.h"

namespace heft::cli {

// The last epoch and the best, for people or as JSON: the numbers of metrics.jsonl, of the last epoch, and more.
void print_results(const train::Setup& setup, const train::EpochReport& last, const train::BestEpoch& best,
                   const std::string& out, bool json);
// --find-lr instead: makes the range test, writes find_lr.jsonl to `out` and prints the rates. Returns the exit code.
int run_find_lr(train::Setup& setup, const std::string& out, bool json);

}  // namespace heft::cli
