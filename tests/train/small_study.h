// A study of made-up images that is trained in no time.
#pragma once

#include <string>
#include <utility>

#include "tests/train/blobs.h"
#include "train/study.h"

namespace heft::test {

// `folder` has the blobs of write_blobs().
inline train::Study small_study(const TemporaryDirectory& folder) {
  train::Study study{.name = "small", .seeds = {0, 1, 2}};
  study.base = {{"data.data", std::string("idx")},
                {"data.dir", folder.path()},
                {"model", std::string("mlp")},
                {"epochs", std::int64_t{2}},
                {"batch_size", std::int64_t{32}}};
  study.datasets = {{.name = "even", .where = "a.toml:3"}};
  train::StudyMethod sgd;
  sgd.name = "SGD";
  sgd.where = "a.toml:4";
  train::StudyMethod adam;
  adam.name = "Adam";
  adam.where = "a.toml:5";
  adam.fields = {{"optimizer", std::string("adam")}};
  study.methods = {sgd, adam};
  return study;
}

}  // namespace heft::test
