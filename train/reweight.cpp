#include "train/reweight.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "core/check.h"
#include "optim/chi_square.h"
#include "optim/cvar.h"
#include "optim/focal_weights.h"
#include "optim/group_dro.h"
#include "optim/top_k.h"
#include "train/learn_to_reweight.h"
#include "train/meta_weight_net.h"
#include "train/read_number.h"

namespace heft::train {
namespace {

using ReductionPtr = std::shared_ptr<optim::Reduction>;

struct Rule {
  std::string name;
  std::string constant;  // empty: it has none
  double value;
  std::function<ReductionPtr(double value, std::int64_t classes)> make;
};

template <class R, class Options>
ReductionPtr with(const Options& options) {
  return std::make_shared<R>(options);
}

const std::vector<Rule>& rules() {
  using namespace optim;
  static const std::vector<Rule> all{
      {"none", "", 0, [](double, std::int64_t) -> ReductionPtr { return std::make_shared<Mean>(); }},
      {"l2rw", "", 0, [](double, std::int64_t) -> ReductionPtr { return std::make_shared<LearnToReweight>(); }},
      {"meta_weight_net", "", 0, [](double, std::int64_t) -> ReductionPtr { return std::make_shared<MetaWeightNet>(); }},
      {"cvar", "ALPHA", 0.5, [](double v, std::int64_t) { return with<CVaR>(CVaROptions{.alpha = v}); }},
      {"chi_square", "RADIUS", 0.5, [](double v, std::int64_t) { return with<ChiSquare>(ChiSquareOptions{.radius = v}); }},
      {"top_k", "SHARE", 0.5, [](double v, std::int64_t) { return with<TopK>(TopKOptions{.share = v}); }},
      {"focal_weights", "GAMMA", 1, [](double v, std::int64_t) { return with<FocalWeights>(FocalWeightsOptions{.gamma = v}); }},
      {"group_dro", "ETA", 0.01,
       [](double v, std::int64_t classes) { return with<GroupDRO>(GroupDROOptions{.groups = classes, .eta = v}); }}};
  return all;
}

const Rule* find_rule(const std::string& name) {
  const auto found = std::find_if(rules().begin(), rules().end(), [&](const Rule& rule) { return rule.name == name; });
  return found == rules().end() ? nullptr : &*found;
}

}  // namespace

std::string reweight_rules() {
  std::vector<std::string> texts;
  for (const Rule& rule : rules())
    texts.push_back(rule.constant.empty() ? rule.name : fmt::format("{}:{} [{}]", rule.name, rule.constant, rule.value));
  return fmt::format("{}", fmt::join(texts, ", "));
}

Reweight read_reweight(const std::string& text) {
  const std::size_t colon = text.find(':');
  const Rule* rule = find_rule(text.substr(0, colon));
  check(rule != nullptr, "recipe", "expected reweight to be one of {}; got '{}'", reweight_rules(), text);
  Reweight result{rule->name, rule->value};
  check(colon == std::string::npos ||
            (!rule->constant.empty() && read_number(std::string_view(text).substr(colon + 1), result.value)),
        "recipe", "expected reweight to be one of {}; got '{}'", reweight_rules(), text);
  return result;
}

bool learns_from_clean_images(const Reweight& reweight) {
  return reweight.rule == "l2rw" || reweight.rule == "meta_weight_net";
}

ReductionPtr make_reduction(const Reweight& reweight, std::int64_t classes) {
  return find_rule(reweight.rule)->make(reweight.value, classes);
}

}  // namespace heft::train
