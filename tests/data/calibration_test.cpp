#include "data/calibration.h"

#include "core/error.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;

TEST_CASE("calibration error: bins of the confidence, by their samples", "[data]") {
  data::CalibrationError error;
  CHECK(error.value() == 0);
  // Two samples of confidence 0.9 (one right), one of 0.6 (right): |1 - 1.8| and |1 - 0.6| over 3.
  error.add(Tensor::from<double>({0.9, 0.1, 0.1, 0.9, 0.6, 0.4}).reshape({3, 2}), Tensor::from<std::int64_t>({0, 0, 0}));
  CHECK(error.value() == Approx((0.8 + 0.4) / 3));
  // In the same bin they are taken together: 0.61 and 0.65, one right of two.
  data::CalibrationError together;
  together.add(Tensor::from<double>({0.61, 0.39}).reshape({1, 2}), Tensor::from<std::int64_t>({0}));
  together.add(Tensor::from<double>({0.65, 0.35}).reshape({1, 2}), Tensor::from<std::int64_t>({1}));
  CHECK(together.value() == Approx(0.13));
  data::CalibrationError certain;
  certain.add(Tensor::from<double>({1, 0}).reshape({1, 2}), Tensor::from<std::int64_t>({0}));
  CHECK(certain.value() == 0);
  CHECK(contains(message_of<ShapeError>([&] { error.add(Tensor::zeros({2, 2}), Tensor::zeros({3}, DType::i64)); }), "(N, C)"));
  CHECK(contains(message_of<ValueError>([&] { error.add(Tensor::full({1, 2}, 3), Tensor::zeros({1}, DType::i64)); }), "row 0"));
}
