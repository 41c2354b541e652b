#include "data/cycle.h"

#include <vector>

#include "core/error.h"
#include "tests/catch_compat.h"

using namespace heft;

namespace {

data::Loader loader_of(std::int64_t samples, int workers = 0) {
  const data::DatasetPtr dataset =
      data::memory_dataset(Tensor::zeros({samples, 1, 2, 2}), Tensor::zeros({samples}, DType::i64), {.classes = 1});
  return data::Loader(dataset, {.batch_size = 3, .shuffle = true, .seed = 7, .workers = workers});
}

std::vector<std::int64_t> indices(const data::Batch& batch) { return batch.indices.to_vector<std::int64_t>(); }

}  // namespace

TEST_CASE("Cycle: epochs one after another, each in its own order", "[data][loader]") {
  data::Loader loader = loader_of(8);
  std::vector<std::vector<std::int64_t>> want;
  for (int epoch = 0; epoch < 3; ++epoch)
    for (const data::Batch& batch : loader) want.push_back(indices(batch));
  REQUIRE(want.size() == 9);
  CHECK(want[0] != want[3]);
  for (const int workers : {0, 2}) {
    data::Cycle cycle(loader_of(8, workers));
    for (const auto& batch : want) CHECK(indices(cycle.next()) == batch);
    for (const std::uint64_t at : {7u, 0u, 3u, 5u}) {
      cycle.seek(at);
      CHECK(indices(cycle.next()) == want[at]);
    }
  }
  CHECK_THROWS_AS(data::Cycle(loader_of(0)), ValueError);
}
