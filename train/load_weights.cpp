#include "train/load_weights.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <sstream>
#include <string_view>

#include "core/check.h"
#include "core/ops.h"
#include "train/named_state.h"
#include "train/printable.h"
#include "train/safetensors.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "load_weights";

// Wrappers of PyTorch put their own name before every other, in either order. One that the network has too is no wrapper's.
void unwrap(NamedState& state, const std::string& any_of_network) {
  for (const std::string prefix : {"module.", "_orig_mod.", "module."}) {
    const auto wrapped = [&](const auto& entry) { return entry.first.starts_with(prefix); };
    if (!any_of_network.starts_with(prefix) && !state.empty() && std::all_of(state.begin(), state.end(), wrapped))
      state = part_of(state, prefix);
  }
}

// "fc" of "fc.weight"; "" of a parameter of the network itself.
std::string module_of(const std::string& name) { return name.substr(0, name.rfind('.') == name.npos ? 0 : name.rfind('.')); }

bool within(const std::string& name, const std::string& module) {
  return module.empty() || name == module || name.starts_with(module + ".");
}

// Three columns: the tensor, its shape in the network, its shape in the file.
class Table {
 public:
  void add(const std::string& name, const std::string& network, const std::string& file) {
    rows_.push_back({printable(name), network, file});
  }
  bool empty() const { return rows_.empty(); }
  std::string str() const {
    constexpr std::size_t kMost = 40;
    std::array<std::size_t, 2> widths{6, 7};
    const std::size_t shown = std::min(rows_.size(), kMost);
    for (std::size_t i = 0; i < shown; ++i)
      for (std::size_t c = 0; c < widths.size(); ++c) widths[c] = std::max(widths[c], rows_[i][c].size());
    std::string text;
    const auto line = [&](const std::array<std::string, 3>& row) {
      text += fmt::format("\n  {:<{}}  {:<{}}  {}", row[0], widths[0], row[1], widths[1], row[2]);
    };
    line({"tensor", "network", "file"});
    for (std::size_t i = 0; i < shown; ++i) line(rows_[i]);
    return rows_.size() > kMost ? fmt::format("{}\n  and {} more", text, rows_.size() - kMost) : text;
  }

 private:
  std::vector<std::array<std::string, 3>> rows_;
};

}  // namespace

LoadedWeights load_weights(const std::string& path, Module& net, const LoadWeightsOptions& options) {
  NamedState state = read_safetensors(path).tensors;
  if (state.count("run.epochs") > 0) state = part_of(state, "model.");
  const auto parameters = net.named_parameters();
  check(!parameters.empty(), kOp, "expected a network with parameters for {}; it has none", path);
  unwrap(state, parameters.front().first);
  const std::string head = module_of(parameters.back().first);

  LoadedWeights result;
  Table wrong;
  std::set<std::string> known;
  const auto inspect = [&](const std::string& name, const Shape& shape, bool counter) {
    known.insert(name);
    const auto found = state.find(name);
    if (options.new_head && within(name, head)) {
      result.kept.push_back(name);
      if (found != state.end()) state.erase(found);
    } else if (found == state.end()) {
      if (counter) result.kept.push_back(name);
      else wrong.add(name, shape.str(), "missing");
    } else if (!(found->second.shape() == shape)) {
      wrong.add(name, shape.str(), found->second.shape().str());
    }
  };
  for (const auto& [name, parameter] : parameters) inspect(name, parameter.shape(), false);
  for (const auto& [name, buffer] : net.named_buffers())
    inspect(name, buffer->shape(), name.ends_with("num_batches_tracked") && buffer->dtype() == DType::i64);
  for (auto it = state.begin(); it != state.end();) {
    const bool expected = known.count(it->first) > 0;
    // A head of another kind may have other tensors: a bias.
    const bool of_head = options.new_head && !head.empty() && within(it->first, head);
    if (!expected && !of_head) wrong.add(it->first, "none", it->second.shape().str());
    it = !expected && of_head ? state.erase(it) : std::next(it);
  }
  check<DataError>(wrong.empty(), kOp, "expected the tensors of this network in {}; these differ:{}", path, wrong.str());
  for (const auto& [name, tensor] : state)
    check<DataError>(!is_floating(tensor.dtype()) || all_finite(tensor), kOp,
                     "expected finite numbers as {} in {}; there is NaN or infinity", printable(name), path);
  net.load_state(state, false);
  return result;
}

void freeze_modules(Module& net, const std::string& names) {
  std::istringstream all(names);
  for (std::string name; std::getline(all, name, ',');) {
    check(!name.empty(), "freeze", "expected names of modules as in conv1,layer1; got '{}'", names);
    net.module(name).freeze();
  }
  const std::vector<Variable> parameters = net.parameters();
  check(std::any_of(parameters.begin(), parameters.end(), [](const Variable& p) { return p.requires_grad(); }), "freeze",
        "expected something to be left to train; '{}' is all of the network", names);
}

}  // namespace heft::train
