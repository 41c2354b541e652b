// Which images there are, of which classes: folders of classes, and lists. Nothing is opened but the list.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace heft::data {

// Whether `path` is `root` or lies in it; both are canonical.
bool is_inside(const std::filesystem::path& root, const std::filesystem::path& path);

struct ImageFile {
  std::string name;            // within the folder, or as in the list
  std::filesystem::path path;  // to open it by; where a link leads
  std::int64_t label = 0;
  std::uint64_t bytes = 0;
  std::int64_t changed = 0;  // when, in the file system's ticks
};
// A file that is no image that can be used, and why: "is a GIF".
struct BrokenFile {
  std::string name;
  std::string reason;
};
struct ImageScan {
  std::filesystem::path root;            // which no path leaves
  std::filesystem::path source;          // the folder of classes, or the list
  std::vector<std::string> class_names;  // may have no file
  std::vector<ImageFile> files;
  std::vector<BrokenFile> broken;  // links that lead out of the root or nowhere, what is missing or no file
};

// Each sub-folder of `folder` is a class, in the order of their names; the files in it, however deep, are its images, in the
// order of theirs. Names that begin with a dot are passed over, and so are __MACOSX, Thumbs.db, desktop.ini and files beside
// the classes. Links are followed to files and, from `folder` itself, to classes, as long as they stay in `root` (empty:
// `folder`). Throws DataError where `folder` cannot be read.
ImageScan scan_image_folder(const std::filesystem::path& folder, const std::filesystem::path& root = {});

// A CSV file of path,label, one image a line, with or without that line as its first; paths lie in `root` (empty: the folder of
// the list). Classes are the labels: in numerical order where all are whole numbers, else in that of their names. Images keep
// their order. Throws DataError naming the line where it is something else, or where a path is absolute or has "..".
ImageScan scan_image_list(const std::filesystem::path& list, const std::filesystem::path& root = {});

struct ImagePart {
  std::string name;  // "train", "val", "test"; empty: all there is
  ImageScan scan;
};
// What lies at `path`: a list (a file), a folder of classes, or a folder whose only sub-folders are train and some of val
// (valid, validation) and test, in whatever case, each a folder of classes. In the order train, val, test. `root`: of a list.
// Throws DataError where train and another of these lie beside a folder that is none.
std::vector<ImagePart> scan_images(const std::filesystem::path& path, const std::filesystem::path& root = {});

}  // namespace heft::data
