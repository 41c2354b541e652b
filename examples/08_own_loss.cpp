// A loss of your own. It is a function that returns one value per sample; everything else (ABSGD's weights, class weights,
// the training loop, metrics) works with it as with ours.
//
// Here: "poly-1", cross entropy plus epsilon (1 - p), p the probability of the label (Leng et al., ICLR 2022).
#include <heft/heft.h>

#include <cstdio>

using namespace heft;

namespace {

// logits (N, C), labels (N) -> (N)
Variable poly1(const Variable& logits, const Tensor& labels, double epsilon = 1) {
  const Variable minus_log_p = cross_entropy(logits, labels);
  return minus_log_p + epsilon * (1 - exp(-minus_log_p));
}

}  // namespace

int main() {
  manual_seed(1);
  // Its gradient, against finite differences.
  const Tensor labels = Tensor::from<std::int64_t>({2, 0, 1, 2});
  const GradientCheckReport report = check_gradients(
      [&](const std::vector<Variable>& inputs) { return poly1(inputs[0], labels); }, {random_normal({4, 3}, 0, 1, DType::f64)});
  std::printf("gradient of poly1: %s, %d comparisons, worst %.3f of the tolerance\n", report.ok ? "right" : "wrong",
              static_cast<int>(report.checked), report.worst);

  // In the training loop of the library, by ABSGD, on four clouds of points of which one is rare.
  std::vector<Tensor> parts;
  std::vector<std::int64_t> classes;
  const std::vector<std::int64_t> sizes{300, 300, 300, 12};
  for (std::size_t c = 0; c < sizes.size(); ++c) {
    parts.push_back(random_normal({sizes[c], 2}, c % 2 ? 1.0 : -1.0, 0.6) * Tensor::from<float>({1, c < 2 ? 1.0F : -1.0F}));
    classes.insert(classes.end(), static_cast<std::size_t>(sizes[c]), static_cast<std::int64_t>(c));
  }
  data::Loader batches(data::memory_dataset(concat(parts, 0), Tensor::from(classes)), {.batch_size = 64, .shuffle = true});
  const ModulePtr net = models::mlp({.inputs = 2, .hidden = {32}, .classes = 4});
  optim::ABSGD opt(net->parameters(), {.lr = 0.05, .lambda = 1});
  const train::FitResult result =
      train::fit(*net, opt, batches, {.epochs = 20, .loss = [](const Variable& z, const Tensor& y) { return poly1(z, y); }});
  std::printf("after 20 epochs: training accuracy %.1f %%, effective sample size %.0f %% of a batch\n",
              100 * result.epochs.back().train_accuracy, 100 * result.epochs.back().effective_share);
  return report.ok ? 0 : 1;
}
