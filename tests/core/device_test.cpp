#include "core/device.h"

#include "core/backend.h"
#include "core/error.h"
#include "core/memory.h"
#include "core/tensor.h"
#include "cuda/cuda.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;

TEST_CASE("A device has a kind, a number and a name", "[core][device]") {
  CHECK(Device() == Device::cpu());
  CHECK(Device::cpu().str() == "cpu");
  CHECK(Device::cuda(1).str() == "cuda:1");
  CHECK(Device::cuda(0) != Device::cuda(1));
}

TEST_CASE("A GPU that is not there is refused with the reason", "[core][device][cuda]") {
  if (cuda::is_available()) HEFT_SKIP("a GPU is there");
  const std::string reason = cuda::why_unavailable();
  REQUIRE_FALSE(reason.empty());
  const Tensor x = Tensor::ones({2});
  CHECK(message_of<DeviceError>([&] { x.to(Device::cuda()); }) == "[cuda] " + reason);
  CHECK(message_of<DeviceError>([&] { Tensor::zeros({2}, DType::f32, Device::cuda()); }) == "[cuda] " + reason);
  CHECK(message_of<DeviceError>([&] { memory_stats(Device::cuda()); }) == "[cuda] " + reason);
  CHECK(message_of<DeviceError>([&] { backend_for(Device::cuda(), DType::f32); }) == "[cuda] " + reason);
}

TEST_CASE("A build without CUDA says how to get one with it", "[core][device][cuda]") {
  if (cuda::device_count() > 0 || cuda::why_unavailable().find("no GPU") == 0) HEFT_SKIP("this build has CUDA");
  CHECK_FALSE(cuda::is_available());
  CHECK(cuda::why_unavailable() == "built without CUDA; configure with -DHEFT_CUDA=ON");
}
