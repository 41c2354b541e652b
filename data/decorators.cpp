#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/random.h"
#include "data/around.h"
#include "data/dataset.h"

namespace heft::data {

namespace {

void check_position(const char* op, std::int64_t position, std::int64_t size) {
  check<ShapeError>(position >= 0 && position < size, op, "expected a position in [0, {}); got {}", size, position);
}

class Subset : public Around {
 public:
  Subset(DatasetPtr base, std::vector<std::int64_t> positions)
      : Around(std::move(base), "subset"), positions_(std::move(positions)) {
    for (const std::int64_t position : positions_) check_position("subset", position, this->base().size());
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(positions_.size()); }
  Sample get(std::int64_t position) const override { return base().get(inner(position)); }
  std::vector<std::int64_t> labels() const override { return chosen_of(base().labels()); }
  std::vector<std::int64_t> indices() const override { return chosen_of(base().indices()); }
  Batch get_batch(std::span<const std::int64_t> positions) const override {
    std::vector<std::int64_t> inner_positions;
    for (const std::int64_t position : positions) inner_positions.push_back(inner(position));
    return base().get_batch(inner_positions);
  }

 private:
  std::int64_t inner(std::int64_t position) const {
    check_position("subset", position, size());
    return positions_[static_cast<std::size_t>(position)];
  }
  std::vector<std::int64_t> chosen_of(const std::vector<std::int64_t>& all) const {
    std::vector<std::int64_t> out;
    for (const std::int64_t position : positions_) out.push_back(all[static_cast<std::size_t>(position)]);
    return out;
  }
  std::vector<std::int64_t> positions_;
};

class Mapped : public Around {
 public:
  Mapped(DatasetPtr base, std::function<Sample(Sample)> function)
      : Around(std::move(base), "map"), function_(std::move(function)) {
    check(function_ != nullptr, "map", "expected a function; got an empty one");
  }
  Sample get(std::int64_t position) const override { return function_(base().get(position)); }

 private:
  std::function<Sample(Sample)> function_;
};

class Concatenated : public Dataset {
 public:
  explicit Concatenated(std::vector<DatasetPtr> parts) : parts_(std::move(parts)) {
    check(!parts_.empty(), "concat", "expected at least one data set; got none");
    for (const DatasetPtr& part : parts_) {
      check(part != nullptr, "concat", "expected data sets; got a null pointer");
      check(part->classes() == classes(), "concat", "expected data sets with as many classes; got {} and {}", classes(),
            part->classes());
      ends_.push_back(size() + part->size());
    }
  }
  std::int64_t size() const override { return ends_.empty() ? 0 : ends_.back(); }
  std::int64_t classes() const override { return parts_.front()->classes(); }
  std::vector<std::string> class_names() const override { return parts_.front()->class_names(); }
  std::int64_t source_size() const override {
    std::int64_t total = 0;
    for (const DatasetPtr& part : parts_) total += part->source_size();
    return total;
  }
  std::vector<std::int64_t> labels() const override {
    std::vector<std::int64_t> out;
    for (const DatasetPtr& part : parts_) {
      const std::vector<std::int64_t> labels = part->labels();
      out.insert(out.end(), labels.begin(), labels.end());
    }
    return out;
  }
  std::vector<std::int64_t> indices() const override {
    std::vector<std::int64_t> out;
    std::int64_t begin = 0;
    for (const DatasetPtr& part : parts_) {
      for (const std::int64_t index : part->indices()) out.push_back(begin + index);
      begin += part->source_size();
    }
    return out;
  }
  Sample get(std::int64_t position) const override {
    check_position("concat", position, size());
    std::int64_t begin = 0, index = 0;
    std::size_t part = 0;
    for (; position >= ends_[part]; ++part) {
      begin = ends_[part];
      index += parts_[part]->source_size();
    }
    Sample sample = parts_[part]->get(position - begin);
    sample.index += index;
    return sample;
  }

 private:
  std::vector<DatasetPtr> parts_;
  std::vector<std::int64_t> ends_;
};

}  // namespace

DatasetPtr subset(DatasetPtr dataset, std::vector<std::int64_t> positions) {
  return std::make_shared<Subset>(std::move(dataset), std::move(positions));
}

DatasetPtr shuffled(DatasetPtr dataset, std::uint64_t seed) {
  check(dataset != nullptr, "shuffled", "expected a data set; got a null pointer");
  return subset(dataset, random_permutation(dataset->size(), {.seed = seed, .stream = stream_of("data.shuffled")}));
}

DatasetPtr map(DatasetPtr dataset, std::function<Sample(Sample)> function) {
  return std::make_shared<Mapped>(std::move(dataset), std::move(function));
}

DatasetPtr concat(std::vector<DatasetPtr> parts) { return std::make_shared<Concatenated>(std::move(parts)); }

}  // namespace heft::data
