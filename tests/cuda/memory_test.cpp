// Tensors on a GPU: copies, layouts, memory.
#include <limits>
#include <vector>

#include "autograd/images.h"
#include "core/backend.h"
#include "core/download.h"
#include "core/ops.h"
#include "core/random.h"
#include "cuda/cuda.h"
#include "data/loader.h"
#include "layers/losses.h"
#include "layers/models.h"
#include "optim/absgd.h"
#include "tests/catch_compat.h"
#include "tests/core/numbers.h"
#include "tests/cuda/weighted_step.h"
#include "tests/train/blobs.h"

using namespace heft;
using namespace heft::test;

namespace {

// Work on each batch begins with a product of two matrices of that many rows and columns.
void check_batches(std::int64_t rows) {
  const data::DatasetPtr dataset = blobs({300, 300});
  const Tensor big = Tensor::ones({rows, rows}, DType::f32, Device::cuda());
  for (const int workers : {0, 1, 4}) {
    std::vector<Tensor> sums, want;
    data::Loader there(dataset, {.batch_size = 8, .shuffle = true, .workers = workers, .device = Device::cuda()});
    for (const data::Batch& batch : there) {
      // Slow work first, and then the images are read: a copy that does not wait for it would show.
      const Tensor slow = matmul(big, big).slice(0, 0, 1).slice(1, 0, 1) * 0.0;
      sums.push_back(sum(batch.images.flatten(1) + slow, {1}));
    }
    data::Loader here(dataset, {.batch_size = 8, .shuffle = true, .workers = 0});
    for (const data::Batch& batch : here) want.push_back(sum(batch.images.flatten(1), {1}));
    REQUIRE(sums.size() == want.size());
    for (std::size_t i = 0; i < sums.size(); ++i) {
      INFO(workers << " workers, batch " << i);
      check_close(sums[i].to(Device::cpu()), want[i], 1e-5);
    }
  }
}

}  // namespace

TEST_CASE("values cross to a GPU and back, whatever the strides and types", "[core][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("copies to a GPU: " + cuda::why_unavailable());
  const Tensor x = random_uniform({3, 4, 5}, -300, 300, DType::f32, Device::cpu(), {1});
  const Tensor there = x.to(Device::cuda());
  CHECK(there.to_vector<float>() == x.to_vector<float>());
  CHECK(there.transpose().to_vector<float>() == x.transpose().to_vector<float>());
  CHECK(there.slice(1, 1, 4, 2).to(Device::cpu()).to_vector<float>() == x.slice(1, 1, 4, 2).to_vector<float>());
  CHECK(x.transpose(0, 2).to(Device::cuda()).to_vector<float>() == x.transpose(0, 2).to_vector<float>());
  for (const DType to : {DType::f64, DType::i32, DType::i64, DType::u8, DType::boolean}) {
    INFO(name(to));
    CHECK(there.astype(to).to_vector<double>() == x.astype(to).to_vector<double>());
    CHECK(x.astype(to).to(Device::cuda()).astype(DType::f32).to_vector<double>() ==
          x.astype(to).astype(DType::f32).to_vector<double>());
  }
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor extreme = Tensor::from(std::vector<float>{inf, -inf, NAN, 1e30f, -1e30f, 0.9f, -0.9f});
  for (const DType to : {DType::i32, DType::i64, DType::u8})
    CHECK(extreme.to(Device::cuda()).astype(to).to_vector<double>() == extreme.astype(to).to_vector<double>());
  Tensor target = Tensor::zeros({4, 4}, DType::f32, Device::cuda());
  target.slice(1, 1, 3).copy_(Tensor::ones({4, 2}));
  target.slice(0, 0, 1).fill_(7);
  CHECK(sum(target).item() == 7 * 4 + 3 * 2);
  CHECK(there.clone().to_vector<float>() == x.to_vector<float>());
  CHECK_FALSE(there.clone().shares_storage(there));
}

TEST_CASE("a download has what its tensors held when it was asked for", "[core][cuda]") {
  const Device device = cuda::is_available() ? Device::cuda() : Device::cpu();
  const auto there = [device](const Tensor& x) { return x.to(device); };
  const std::vector<Tensor> here = {
      random_normal({3, 5}),           Tensor::arange(7),     Tensor::from(std::vector<std::uint8_t>{1, 2, 3}),
      Tensor::scalar(2.5, DType::f64), Tensor::empty({0, 4}), random_normal({300, 7})};
  std::vector<Tensor> tensors;
  for (const Tensor& x : here) tensors.push_back(there(x).clone());
  const Tensor wide = there(here[0]);
  tensors.push_back(wide.slice(1, 1, 3));               // not contiguous
  tensors.push_back(wide.select(0, 1).slice(0, 1, 5));  // at an address that is no multiple of 16
  tensors.push_back(tensors[2].slice(0, 1, 3));         // nor of 4
  tensors.emplace_back();
  tensors.push_back(here[1].clone());                                                        // on the CPU
  for (int i = 0; i < 17; ++i) tensors.push_back(Tensor::full({2}, i, DType::i32, device));  // more than a kernel takes
  std::vector<Tensor> want;
  for (const Tensor& x : tensors) want.push_back(x.defined() ? x.to(Device::cpu()).clone() : x);
  const Download once(tensors), again(tensors);
  for (Tensor& x : tensors)
    if (x.defined()) x.fill_(9);
  const Download later({tensors[0]});
  for (const Download* download : {&again, &once, &once}) {
    const std::vector<Tensor> got = download->values();
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      INFO("tensor " << i);
      REQUIRE(got[i].defined() == want[i].defined());
      if (!got[i].defined()) continue;
      CHECK((got[i].device().is_cpu() && got[i].is_contiguous() && got[i].dtype() == want[i].dtype()));
      REQUIRE(got[i].shape() == want[i].shape());
      CHECK(got[i].to_vector<double>() == want[i].to_vector<double>());
    }
  }
  CHECK(later.values()[0].to_vector<float>() == std::vector<float>(15, 9));
  CHECK(Download().values().empty());
}

TEST_CASE("a convolution's layout on a GPU is the same values", "[core][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("layouts on a GPU: " + cuda::why_unavailable());
  for (const Shape& shape : {Shape{2, 3, 4, 5}, Shape{1, 1, 7, 3}, Shape{5, 64, 1, 1}, Shape{3, 33, 9, 31}}) {
    INFO(shape.str());
    const Tensor x = normal(shape, 3, DType::f32);
    const Tensor weight = one_hot(Tensor::arange(shape[1]), shape[1]).reshape({shape[1], shape[1], 1, 1});
    const Tensor y = conv2d(x.to(Device::cuda()), weight.to(Device::cuda()));
    CHECK(y.is_opaque());
    check_close(y.contiguous().to(Device::cpu()), x, 1e-3);
    CHECK(y.clone().is_opaque());
    CHECK(y.clone().to_vector<float>() == y.to_vector<float>());
    CHECK(Tensor::zeros_like(y).to_vector<float>() == std::vector<float>(static_cast<std::size_t>(shape.numel())));
    CHECK((y * 2.0).slice(3, 0, 1).to_vector<float>() == (y.contiguous() * 2.0).slice(3, 0, 1).to_vector<float>());
  }
}

TEST_CASE("memory of a GPU is counted, kept and refused with the size", "[core][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("memory of a GPU: " + cuda::why_unavailable());
  const std::size_t before = memory_stats(Device::cuda()).bytes_in_use;
  {
    const Tensor x = Tensor::zeros({1000, 1000}, DType::f32, Device::cuda());
    CHECK(memory_stats(Device::cuda()).bytes_in_use >= before + 4'000'000);
  }
  CHECK(memory_stats(Device::cuda()).bytes_in_use == before);
  const std::uint64_t asked = memory_stats(Device::cuda()).system_allocations;
  { const Tensor again = Tensor::zeros({1000, 1000}, DType::f32, Device::cuda()); }
  CHECK(memory_stats(Device::cuda()).system_allocations == asked);
  const std::string message = message_of<MemoryError>([] { Tensor::empty({1 << 20, 1 << 20}, DType::f64, Device::cuda()); });
  CHECK(contains(message, "[allocate] expected 8796093022208 bytes from the GPU"));
  const Tensor wide = Tensor::ones({1, 1}, DType::f64, Device::cuda()).expand({1 << 20, 1 << 20});
  CHECK(contains(message_of<MemoryError>([&] { wide + wide; }), "[add] expected 8796093022208 bytes from the GPU"));
  CHECK(contains(message_of<DeviceError>([] { Tensor::zeros({1}, DType::f32, Device::cuda(1)); }), "cuda:0"));
}

TEST_CASE("training on a GPU asks for no more memory after its first steps, and repeats its bits", "[train][cuda][real-gpu]") {
  if (!cuda::is_available()) HEFT_SKIP("training on a GPU: " + cuda::why_unavailable());
  const auto run = [] {
    manual_seed(3);
    const ModulePtr net = models::make("resnet20", {.classes = 10, .channels = 3, .image_size = 32});
    net->to(Device::cuda());
    optim::ABSGD opt(net->parameters(), {.lr = 0.05, .momentum = 0.9, .lambda = 1});
    const Tensor images = random_normal({10, 3, 32, 32}, 0, 1, DType::f32, Device::cuda(), {4});
    const Tensor labels = Tensor::arange(10).to(Device::cuda());
    std::uint64_t asked = 0;
    for (int i = 0; i < 12; ++i) {
      weighted_step(*net, opt, images, labels);
      if (i == 3) asked = memory_stats(Device::cuda()).system_allocations;
    }
    CHECK(memory_stats(Device::cuda()).system_allocations == asked);
    std::vector<double> all;
    for (const Variable& p : net->parameters()) {
      const auto part = p.value().to_vector<double>();
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  };
  CHECK(run() == run());
}

TEST_CASE("batches reach a GPU unharmed while it still works on those before", "[data][cuda][real-gpu]") {
  if (!cuda::is_available()) HEFT_SKIP("batches on a GPU: " + cuda::why_unavailable());
  check_batches(2048);
}

// As above where what comes first is left to chance (tests/ptx).
TEST_CASE("batches reach a GPU unharmed in whatever order it may work", "[data][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("batches on a GPU: " + cuda::why_unavailable());
  check_batches(2);
}
