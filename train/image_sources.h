// Internal to train/: the data sets that a folder or a list of images holds.
#pragma once

#include "data/image_folder.h"
#include "train/datasets.h"

namespace heft::train {

struct ImageSources {
  data::DatasetPtr train;
  data::DatasetPtr test = nullptr;
  data::DatasetPtr validation = nullptr;
  std::vector<data::BrokenFile> skipped = {};
  int workers = 1;
};

// Whether recipe.data is a path and not a name.
bool is_image_source(const DataRecipe& recipe);
// Throws ValueError where a field is outside its domain, DataError as data::load_images does and where a folder has no training
// images.
ImageSources load_image_sources(const DataRecipe& recipe);
// The same errors for parts whose files have been decoded already, as data::scan_images lists them. `counts`: by part.
void check_image_sources(const DataRecipe& recipe, const std::vector<data::ImagePart>& parts,
                         const std::vector<data::ImageCounts>& counts);
// load_part() of such a source.
LoadedPart load_image_part(const DataRecipe& recipe, Part part, const std::vector<std::string>& class_names);

}  // namespace heft::train
