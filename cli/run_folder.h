// The folder of a heft train, for one process at a time.
#pragma once

#include <string>

#include "train/datasets.h"

namespace heft::cli {

class RunFolder {
 public:
  // Makes it where there is none. Throws ValueError where that cannot be, or where another process has it.
  explicit RunFolder(const std::string& path);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

 private:
  int descriptor_ = -1;
};

// Whether a run has begun to write there.
bool holds_a_run(const std::string& path);
// Throws ValueError where `out` lies among the images of a folder: what is written there would be classes of the next run.
// `op`: who is to write.
void check_out_of_data(const std::string& op, const std::string& out, const train::DataRecipe& recipe);

}  // namespace heft::cli
