// Values and gradients of losses against tests/golden/losses.json, which make_losses.py beside it computed with 60 digits.
#include <fstream>
#include <nlohmann/json.hpp>

#include "autograd/reduce.h"
#include "data/imbalance.h"
#include "layers/losses.h"
#include "layers/losses_imbalance.h"
#include "layers/losses_noise.h"
#include "tests/core/numbers.h"

using namespace heft;
using namespace heft::test;

namespace {

Tensor flat(const nlohmann::json& rows) {
  std::vector<double> all;
  for (const auto& row : rows) all.insert(all.end(), row.begin(), row.end());
  return Tensor::from(all, {static_cast<std::int64_t>(rows.size()), 3});
}

}  // namespace

TEST_CASE("losses and their gradients have the values of an independent computation", "[losses]") {
  const nlohmann::json golden = nlohmann::json::parse(std::ifstream("tests/golden/losses.json"));
  const Tensor logits = flat(golden.at("logits")), y = Tensor::from(golden.at("labels").get<std::vector<std::int64_t>>());
  const auto counts = golden.at("counts").get<std::vector<std::int64_t>>();
  const TruncatedGce truncated(5);
  using V = const Variable&;
  const std::map<std::string, std::function<Variable(V)>> losses = {
      {"cross_entropy", [&](V z) { return cross_entropy(z, y); }},
      {"label_smoothing", [&](V z) { return cross_entropy(z, y, {.label_smoothing = 0.1}); }},
      {"effective_number",
       [&](V z) {
         const Tensor w = data::class_weights(counts, {.scheme = data::WeightScheme::effective_number});
         return cross_entropy(z, y, {.class_weights = w});
       }},
      {"ldam", [&](V z) { return ldam(z, y, {.counts = counts}); }},
      {"focal_1", [&](V z) { return focal(z, y); }},
      {"focal_2.5", [&](V z) { return focal(z, y, {.gamma = 2.5}); }},
      {"logit_adjustment", [&](V z) { return logit_adjusted_cross_entropy(z, y, {.counts = counts}); }},
      {"logit_adjustment_0.5", [&](V z) { return logit_adjusted_cross_entropy(z, y, {.counts = counts, .tau = 0.5}); }},
      {"symmetric", [&](V z) { return symmetric_cross_entropy(z, y); }},
      {"generalized", [&](V z) { return generalized_cross_entropy(z, y); }},
      {"truncated", [&](V z) { return truncated(z, y, Tensor::arange(5)); }},
      {"normalized_logits", [&](V z) { return cross_entropy(normalize_logits(z), y); }},
  };
  CHECK(losses.size() + 3 == golden.size());
  for (const auto& [name, loss] : losses)
    for (const DType dtype : {DType::f64, DType::f32}) {
      INFO(name << " in " << heft::name(dtype));
      // oneDNN's log_softmax is good to 3e-6, which the reverse cross entropy multiplies by 9.21.
      const double tolerance = dtype == DType::f64 ? 1e-13 : 5e-5;
      const Variable z(logits.astype(dtype), true);
      const Variable values = loss(z);
      backward(sum(values));
      check_close(values.value(), Tensor::from(golden.at(name).at("values").get<std::vector<double>>()), tolerance);
      check_close(z.grad(), flat(golden.at(name).at("gradients")), tolerance);
    }
}
