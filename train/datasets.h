// Data sets from a description in words, as a configuration file or a command line gives it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/image_scan.h"
#include "data/normalize.h"

namespace heft::train {

struct DataRecipe {
  // "fashion-mnist", or "idx": any data set in four files named as MNIST's, {train,t10k}-{images-idx3,labels-idx1}-ubyte, plain
  // or .gz, in `dir`; "cifar10", "cifar100". Or a path: a folder of PNG and JPEG images, {train,val,test}/CLASS/..., of which
  // test, else val, is the test set (beside test, val is the validation set unless `validation` holds one out), or CLASS/...;
  // or a CSV file of path,label, with paths in its folder or in `dir` (data/image_scan.h, data/image_folder.h).
  std::string data = "fashion-mnist";
  std::string dir = {};  // empty: where the Debian package puts Fashion-MNIST
  // Of images in a folder or a list. 64: enough to tell photographs apart, and what a CPU trains a ResNet on in reasonable
  // time.
  std::int64_t image_size = 64;  // edge of the square in the middle that an image is resized to
  std::int64_t channels = 0;     // 1: grey, 3: RGB; 0: grey where all training images are, else RGB
  std::string broken = "error";  // or "skip": files that are not images, or damaged ones
  std::string cache = "memory";  // or "file", "none": data::ImageCaching
  double test_share = 0.2;       // of each class, held out as the test set where there is none; the same for all seeds
  // "none", "exp:RATIO" or "step:RATIO": a long-tailed training set (data/imbalance.h).
  std::string imbalance = "none";
  // Which class is the largest, the second, ...: "label", "reversed", or the labels in that order, "3,1,0,2".
  std::string class_order = "label";
  std::string selection =
      "counter";  // which images a long tail keeps: data::Selection; "numpy": the published CIFAR-LT subsets
  // Wrong labels on the training set, after imbalance (data/label_noise.h). "none"; "symmetric:RATE", exactly int(RATE n_c) of
  // each class, to one of the other classes; "uniform:RATE", int(RATE N) of all, to any class; "asymmetric:RATE", CIFAR's
  // similar classes, from the original labels, "asymmetric-sequential:RATE" as the published code applies it; "pair:RATE", each
  // class to the next; "file:PATH", labels from a file (data/relabel.h).
  std::string noise = "none";
  // What images are normalised by: "estimated", the mean and standard deviation of the training images, channel by channel;
  // "none"; "imagenet", of which torchvision's weights are; or "MEAN,...:STD,...", one a channel, of pixels in [0, 1].
  std::string normalize = "estimated";
  double validation = 0;            // share of the training set to hold out; 0: none
  std::int64_t meta_per_class = 0;  // clean images of each class to hold out for a meta-learning method, before noise; 0: none
  std::uint64_t seed = 0;
};

struct DataSets {
  data::DatasetPtr train;
  data::DatasetPtr validation;  // null: none
  data::DatasetPtr meta;        // clean and balanced, not in train; null: none
  data::DatasetPtr test;
  data::Normalization normalize;               // as the recipe says
  std::vector<std::int64_t> class_counts;      // of the training set
  std::vector<data::BrokenFile> skipped = {};  // of a folder or a list of images
  int workers = 1;                             // threads that the Loader of a run needs to keep up
};
// Throws ValueError where a word is none of the above, DataError where files are missing or damaged.
DataSets load_datasets(const DataRecipe& recipe);

enum class Part { train, test };
struct LoadedPart {
  data::DatasetPtr dataset;
  std::vector<data::BrokenFile> skipped = {};  // as in DataSets
};
// One part by itself, for a network that is trained already: the test set of load_datasets, or the training set as it is before
// imbalance, noise and what is held out. Of the other part nothing is read but the labels of idx files, which say how many
// classes there are; but images of which a share is held out as the test set are all decoded. `class_names`: those that images
// in a folder or a list must have; empty: any. Throws as load_datasets does.
LoadedPart load_part(const DataRecipe& recipe, Part part, const std::vector<std::string>& class_names = {});

}  // namespace heft::train
