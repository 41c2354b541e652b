#include "train/run_state.h"

#include <bit>
#include <cstdint>
#include <limits>

#include "core/check.h"
#include "core/random.h"
#include "train/named_state.h"
#include "train/safetensors.h"

namespace heft::train {
namespace {

Tensor integer(std::uint64_t value) { return Tensor::from(std::vector<std::int64_t>{std::bit_cast<std::int64_t>(value)}, {}); }

std::uint64_t take_integer(const std::string& path, const NamedState& state, const std::string& name) {
  const auto found = state.find(name);
  check<DataError>(found != state.end() && found->second.dtype() == DType::i64 && found->second.numel() == 1, "load_run",
                   "expected an i64 '{}' in {}, as a saved run has it; there is none", name, path);
  return std::bit_cast<std::uint64_t>(found->second.item<std::int64_t>());
}

// What fits no network is the file's fault here.
template <class F>
void naming_the_file(const char* op, const std::string& path, F&& load) {
  try {
    load();
  } catch (const Error& error) {
    fail<DataError>(op, "expected the state of this network and optimizer in {}; {}", path, error.what());
  }
}

}  // namespace

void save_run(const std::string& path, const Module& net, const optim::Optimizer& opt, int epochs,
              const std::map<std::string, std::string>& metadata, const std::map<std::string, Tensor>& loss_state) {
  const RandomState random = random_state();
  SafeTensors contents{.tensors = {}, .metadata = metadata};
  put(contents.tensors, "model.", net.state());
  put(contents.tensors, "optimizer.", opt.state());
  put(contents.tensors, "loss.", loss_state);
  put(contents.tensors, "run.",
      {{"epochs", integer(static_cast<std::uint64_t>(epochs))},
       {"random.seed", integer(random.seed)},
       {"random.next", integer(random.next)}});
  write_safetensors(path, contents);
}

LoadedRun load_run(const std::string& path, Module& net, optim::Optimizer& opt) {
  SafeTensors contents = read_safetensors(path);
  const std::uint64_t epochs = take_integer(path, contents.tensors, "run.epochs");
  check<DataError>(epochs <= static_cast<std::uint64_t>(std::numeric_limits<int>::max()), "load_run",
                   "expected a number of epochs in {}; got {}", path, epochs);
  const RandomState random{.seed = take_integer(path, contents.tensors, "run.random.seed"),
                           .next = take_integer(path, contents.tensors, "run.random.next")};
  naming_the_file("load_run", path, [&] {
    net.load_state(part_of(contents.tensors, "model."));
    opt.load_state(part_of(contents.tensors, "optimizer."));
  });
  set_random_state(random);
  return {.epochs = static_cast<int>(epochs),
          .metadata = std::move(contents.metadata),
          .loss_state = part_of(contents.tensors, "loss.")};
}

void save_model(const std::string& path, const Module& net, const std::map<std::string, std::string>& metadata) {
  write_safetensors(path, {.tensors = net.state(), .metadata = metadata});
}

std::map<std::string, std::string> load_model(const std::string& path, Module& net) {
  SafeTensors contents = read_safetensors(path);
  const bool whole_run = contents.tensors.count("run.epochs") > 0;
  naming_the_file("load_model", path,
                  [&] { net.load_state(whole_run ? part_of(contents.tensors, "model.") : contents.tensors); });
  return std::move(contents.metadata);
}

}  // namespace heft::train
