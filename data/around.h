// What a decorator passes on unless it has its own answer. Internal.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "data/dataset.h"

namespace heft::data {

// Throws ValueError, which carries `op`, for a null data set. labels(), indices() and get_batch() go through get().
class Around : public Dataset {
 public:
  Around(DatasetPtr base, const char* op) : base_(std::move(base)) {
    check(base_ != nullptr, op, "expected a data set; got a null pointer");
  }
  std::int64_t size() const override { return base_->size(); }
  std::int64_t classes() const override { return base_->classes(); }
  std::int64_t source_size() const override { return base_->source_size(); }
  std::vector<std::string> class_names() const override { return base_->class_names(); }

 protected:
  const Dataset& base() const { return *base_; }

 private:
  DatasetPtr base_;
};

}  // namespace heft::data
