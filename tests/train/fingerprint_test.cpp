#include "train/fingerprint.h"

#include "tests/catch_compat.h"
#include "tests/train/blobs.h"

using namespace heft;

TEST_CASE("fingerprint: of the same data the same, of other data another", "[train]") {
  const data::DatasetPtr blobs = test::blobs({200, 150});
  const std::string usual = train::fingerprint(*blobs);
  CHECK(usual.size() == 8);
  CHECK(train::fingerprint(*test::blobs({200, 150})) == usual);
  CHECK(train::fingerprint(*test::blobs({200, 150}, 2)) != usual);  // other pixels
  CHECK(train::fingerprint(*test::blobs({150, 200})) != usual);     // other labels
  CHECK(train::fingerprint(*data::shuffled(blobs)) != usual);
  const auto changed = [&blobs](const std::function<void(data::Sample&)>& change) {
    return train::fingerprint(*data::map(blobs, [change](data::Sample sample) {
      sample.image = sample.image.clone();
      change(sample);
      return sample;
    }));
  };
  CHECK(changed([](data::Sample&) {}) == usual);
  CHECK(changed([](data::Sample& s) { s.label = s.index == 340 ? 0 : s.label; }) != usual);
  CHECK(changed([](data::Sample& s) { s.image.mutable_data<float>()[7] += s.index == 0 ? 1.F : 0.F; }) != usual);
  CHECK(changed([](data::Sample& s) { s.image = s.image.reshape({1, 1, test::kBlobSide * test::kBlobSide}); }) != usual);
}
