// Whole networks against finite differences in double: batch 4, batch norm in training mode, 20 random directions and 50
// sampled entries a tensor. VGG-small and ResNet-20 run on small images unless HEFT_TEST_FULL is set, because plain loops in
// double take minutes for theirs.
#include <chrono>
#include <cstdlib>

#include "autograd/check_gradients.h"
#include "core/random.h"
#include "layers/losses.h"
#include "layers/models.h"
#include "tests/catch_compat.h"

using namespace heft;

namespace {

bool full_size() {
  const char* set = std::getenv("HEFT_TEST_FULL");
  return set && *set && std::string(set) != "0";
}

void check_network(const char* name, Module& net, const Shape& image) {
  net.astype(DType::f64);
  const Tensor x = random_normal({4, image[0], image[1], image[2]}, 0, 1, DType::f64);
  const Tensor labels = Tensor::from<std::int64_t>({3, 1, 4, 1});
  const auto start = std::chrono::steady_clock::now();
  // A weight of a first layer moves every pixel of its channel: the more there are, the nearer lies a kink of one.
  const double eps = full_size() ? 1e-7 : 1e-6;
  const GradientCheckReport report = check_gradients([&] { return cross_entropy(net(x), labels); }, net.parameters(),
                                                     {.eps = eps, .max_entries = 50, .directions = 20});
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::cout << name << " " << image << ": " << report.checked << " checked, " << report.kinks << " kinks, " << report.skipped
            << " skipped, worst " << report.worst << ", " << seconds << " s" << std::endl;
  INFO(report.message);
  CHECK(report.ok);
  CHECK(report.checked > 20 + 10 * static_cast<std::int64_t>(net.parameters().size()));
  CHECK(report.kinks * 20 <= report.checked);
  CHECK(report.skipped * 100 <= report.checked);
}

}  // namespace

TEST_CASE("gradients of LeNet-5 as a whole", "[layers][gradients][slow]") {
  manual_seed(1);
  check_network("LeNet-5", *models::lenet5(), {1, 28, 28});
}

TEST_CASE("gradients of VGG-small as a whole", "[layers][gradients][slow]") {
  manual_seed(2);
  const std::int64_t side = full_size() ? 32 : 8;
  check_network("VGG-small", *models::vgg_small({.image_size = side}), {3, side, side});
}

TEST_CASE("gradients of ResNet-20 as a whole", "[layers][gradients][slow]") {
  manual_seed(3);
  const std::int64_t side = full_size() ? 32 : 8;
  check_network("ResNet-20", *models::cifar_resnet({.depth = 20}), {3, side, side});
}
