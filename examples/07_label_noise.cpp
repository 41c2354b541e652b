// Wrong labels: three clouds of points, 40 % of the labels flipped, and a network large enough to learn every one by heart.
//
// Adam drives the mean loss down until the flipped labels are learnt too. ABAdam with lambda < 0 gives a sample the weight
// exp(loss / lambda) / u: a label that contradicts its neighbours has a high loss, and is listened to less and less. It starts
// after a few epochs of the mean, when right and wrong labels have begun to differ.
#include <heft/heft.h>

#include <cstdio>
#include <vector>

using namespace heft;

namespace {

constexpr std::int64_t kClasses = 3, kPerClass = 200;

Tensor clouds(std::uint64_t seed) {  // (600, 2), class by class
  manual_seed(seed);
  std::vector<Tensor> parts;
  for (const auto& [x, y] : {std::pair{0.0, 1.0}, {0.9, -0.5}, {-0.9, -0.5}})
    parts.push_back(
        concat(std::vector<Tensor>{random_normal({kPerClass, 1}, x, 0.45), random_normal({kPerClass, 1}, y, 0.45)}, 1));
  return concat(parts, 0);
}

Tensor labels() {
  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < kClasses * kPerClass; ++i) all.push_back(i / kPerClass);
  return Tensor::from(all);
}

double share(const Tensor& yes) { return mean(yes.astype(DType::f32)).item(); }

struct Result {
  double test, memorised;
};

// `given` are the labels to learn from; the test is on fresh points with true labels.
Result learn(const Tensor& given, double lambda) {
  const Tensor points = clouds(1), fresh = clouds(2), truth = labels();
  manual_seed(3);
  const ModulePtr net = models::mlp({.inputs = 2, .hidden = {128, 128}, .classes = kClasses});
  optim::ABAdam opt(net->parameters(), {.lr = 0.01, .lambda = optim::ExponentialWeights::kInfinity});
  const optim::Schedule schedule = optim::from(20, lambda);
  for (int epoch = 0; epoch < 400; ++epoch) {
    opt.set_lambda(schedule(epoch));
    opt.minimize(cross_entropy((*net)(points), given));
  }
  const NoGrad no_grad;
  const Tensor flipped = compare<fn::NotEqual>(given, truth).astype(DType::f32);
  const Tensor agrees = compare<fn::Equal>(argmax((*net)(points)), given).astype(DType::f32);
  return {share(compare<fn::Equal>(argmax((*net)(fresh)), truth)), sum(flipped * agrees).item() / sum(flipped).item()};
}

}  // namespace

int main() {
  const data::DatasetPtr noisy = data::symmetric_noise(data::memory_dataset(clouds(1), labels()), {.rate = 0.4, .seed = 4});
  const Tensor given = Tensor::from(noisy->labels());
  const Result plain = learn(given, optim::ExponentialWeights::kInfinity), robust = learn(given, -0.5);
  std::printf("40 %% of the labels flipped    test accuracy   flipped labels learnt\n");
  std::printf("Adam                              %5.1f %%              %5.1f %%\n", 100 * plain.test, 100 * plain.memorised);
  std::printf("ABAdam, lambda -0.5               %5.1f %%              %5.1f %%\n", 100 * robust.test, 100 * robust.memorised);
  return robust.test > plain.test ? 0 : 1;
}
