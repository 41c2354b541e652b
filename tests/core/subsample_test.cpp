// Subsampling in the CPU's blocked formats: the values of the row-major one, padding that stays 0, no copy in another layout.
#include "tests/catch_compat.h"

#ifdef HEFT_ONEDNN

#include "core/cpu/cpu_backend.h"
#include "core/cpu/layout.h"
#include "tests/core/numbers.h"

using namespace heft;
using namespace heft::test;
using Tag = dnnl::memory::format_tag;

TEST_CASE("cpu: subsample and its gradient keep blocked formats", "[cpu]") {
  const auto as = [](const Tensor& x, Tag tag) {
    return onednn_backend().to_layout(
        x, onednn::layout_of(onednn::Desc(onednn::dims_of(x.shape()), dnnl::memory::data_type::f32, tag)));
  };
  const auto beyond = [](const Tensor& x) {  // what the buffer holds besides x
    double sum = 0;
    for (std::int64_t i = 0; i < x.buffer_elements(); ++i)
      sum += std::abs(static_cast<double>(static_cast<const float*>(x.raw())[i]));
    for (const double v : x.to_vector<double>()) sum -= std::abs(v);
    return sum;
  };
  struct Case {
    Shape x;
    std::int64_t stride, before, after;
  };
  for (const Case& c : {Case{{2, 16, 8, 8}, 2, 8, 8}, Case{{3, 16, 7, 5}, 2, 8, 8}, Case{{2, 5, 6, 7}, 3, 3, 4},
                        Case{{2, 32, 4, 4}, 2, 16, 16}, Case{{1, 20, 3, 3}, 1, 0, 1}, Case{{2, 24, 5, 4}, 2, 4, 0}})
    for (const Tag tag : {Tag::aBcd16b, Tag::aBcd8b}) {
      const Tensor x = normal(c.x, 1, DType::f32), blocked = as(x, tag);
      INFO(c.x.str() << " " << blocked.layout().str());
      const Tensor want = reference_backend().subsample(x, c.stride, c.before, c.after);
      const std::uint64_t before = onednn::counters().reorders;
      const Tensor y = onednn_backend().subsample(blocked, c.stride, c.before, c.after);
      CHECK(onednn::counters().reorders == before);
      CHECK(y.layout().str() == blocked.layout().str());
      check_close(y, want, 0);
      CHECK(beyond(y) == Approx(0).margin(1e-3));
      const Tensor dy = normal(want.shape(), 2, DType::f32);
      const Tensor dx = onednn_backend().subsample_backward(as(dy, tag), c.x, c.stride, c.before);
      CHECK(dx.layout() == blocked.layout());
      check_close(dx, reference_backend().subsample_backward(dy, c.x, c.stride, c.before), 0);
      CHECK(beyond(dx) == Approx(0).margin(1e-3));
    }
}

#endif
