// What is in a folder or a list of images, file by file.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "data/image.h"
#include "data/image_scan.h"

namespace heft::data {

struct ImageRecord {
  std::size_t file = 0;  // in the scan's files
  ImageInfo info = {};   // of a file that can be used
  std::string reason;    // why it cannot; empty: it can
};
struct DuplicateImages {
  std::vector<std::pair<std::size_t, std::size_t>>
      files;  // of which part, and which of its files: two or more, alike to the byte
};
struct ImageReport {
  std::vector<std::vector<ImageRecord>> parts;  // by part and file
  std::vector<DuplicateImages> duplicates;      // within a part and across parts, in the order of their first files
};

// Reads and decodes every file of the parts by `threads` threads (0: num_threads()). Throws nothing for a file that is broken.
ImageReport inspect_images(const std::vector<ImagePart>& parts, int threads = 0, const ImageLimits& limits = {});

}  // namespace heft::data
