// manifest.json of a run: what made it, where and of which data.
#pragma once

#include <string>

#include "train/recipe.h"

namespace heft::cli {

// An object, replaced whole: heft, compiler and onednn (versions), system, processor, features (of the processor), threads,
// seed, data (images, classes, fingerprint of each part; train/fingerprint.h), command, date, and resumed: an array of heft,
// threads, command and date of each time that the run went on, to which a `resumed` run adds one; with data where they were not
// those that it had had, which is said. Throws DataError.
void write_manifest(const std::string& folder, const train::Setup& setup, bool resumed);

}  // namespace heft::cli
