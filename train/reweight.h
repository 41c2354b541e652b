// The reductions that a recipe knows by name, for optimizers that take any: what Recipe::reweight says.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "optim/reduction.h"

namespace heft::train {

struct Reweight {
  std::string rule = "none";
  double value = 0;  // of its one constant; rules without one: 0
};

// "RULE", or "RULE:VALUE" for another constant than the default: "cvar:0.3". Throws ValueError, saying what there is, for an
// unknown rule, a value that is no number, or one where the rule has no constant.
Reweight read_reweight(const std::string& text);
// "none, l2rw, meta_weight_net, cvar:ALPHA [0.5], ...", for messages and help texts.
std::string reweight_rules();

bool learns_from_clean_images(const Reweight& reweight);  // a MetaReweighter, train/meta.h
// Throws ValueError naming the constant where it is outside its domain. `classes`: of group_dro, whose groups they are.
std::shared_ptr<optim::Reduction> make_reduction(const Reweight& reweight, std::int64_t classes);

}  // namespace heft::train
