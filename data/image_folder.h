// Data sets of images in files: folders of classes, and lists.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/image.h"
#include "data/image_scan.h"

namespace heft::data {

enum class WhenBroken {
  error,  // a file that cannot be used is a DataError that names it
  skip    // it is left out
};

enum class ImageCaching {
  none,    // decoded whenever an image is fetched
  memory,  // kept as u8: N x channels x size x size bytes
  file     // the same in a file, for this run and the next ones
};

struct ImageFolderOptions {
  std::int64_t size = 64;     // edge of the images
  std::int64_t channels = 0;  // 1: grey, 3: RGB; 0: grey where all images are, else RGB
  WhenBroken broken = WhenBroken::error;
  ImageCaching cache = ImageCaching::memory;
  std::string cache_folder = {};  // of ImageCaching::file; empty: $XDG_CACHE_HOME/heft or ~/.cache/heft
  std::vector<std::string> class_names =
      {};           // those that there must be, e.g. a training set's; empty: two or more, of any name
  int threads = 0;  // that decode what is cached; 0: num_threads()
  ImageLimits limits = {};
};

struct ImageFolder {
  DatasetPtr dataset;
  std::vector<BrokenFile> skipped = {};
};

// What decoding the files of a scan has shown.
struct ImageCounts {
  std::vector<BrokenFile> broken = {};      // those of the scan, then its files that cannot be read
  std::vector<std::int64_t> by_class = {};  // of those that can
};
// For who has decoded them already: throws the DataError with which load_images refuses the scan. Of options, broken and
// class_names matter.
void check_usable(const ImageScan& scan, const ImageCounts& counts, const ImageFolderOptions& options = {});

// The images of a scan as a data set: f32 (C, size, size) in [0, 1], the middle of each image that is as high as wide, resized
// (data/resize.h). Every file is decoded once before this returns, by several threads, so that what is wrong with a data set
// comes out before training and not in the middle of it: broken files, a class that is left without images, fewer than two
// classes, other classes than class_names. Each is a DataError; of broken files it names the first ones.
//
// A cache file belongs to a root and holds the images of its last scan: it is made anew when a file's name, size or time of
// change, or an option, is another, or where its checksum is wrong. With ImageCaching::none a file that breaks later is a
// DataError where it is fetched.
ImageFolder load_images(const ImageScan& scan, const ImageFolderOptions& options = {});

// load_images of scan_image_folder and of scan_image_list.
DatasetPtr image_folder(const std::string& folder, const ImageFolderOptions& options = {});
DatasetPtr image_list(const std::string& list, const ImageFolderOptions& options = {});

}  // namespace heft::data
