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

constexpr const char *kFormat = "heft.run", *kThisFormat = "1";

Tensor integer(std::uint64_t value) { return Tensor::from(std::vector<std::int64_t>{std::bit_cast<std::int64_t>(value)}, {}); }

std::uint64_t take_integer(const std::string& path, const NamedState& state, const std::string& name) {
  const auto found = state.find(name);
  check<DataError>(found != state.end() && found->second.dtype() == DType::i64 && found->second.numel() == 1, "load_run",
                   "expected an i64 '{}' in {}, as a saved run has it; there is none", name, path);
  return std::bit_cast<std::uint64_t>(found->second.item<std::int64_t>());
}

// Whole, of a run, and of this format.
SafeTensors read_run(const std::string& path) {
  SafeTensors contents = read_safetensors(path);
  const auto format = contents.metadata.find(kFormat);
  check<DataError>(format != contents.metadata.end(), "load_run",
                   "expected the state of a run, which save_run writes with '{}' in its metadata, in {}; there is none",
                   kFormat, path);
  check<DataError>(format->second == kThisFormat, "load_run",
                   "expected the state of a run in format {}, which this version of heft reads, in {}; got format '{}'",
                   kThisFormat, path, format->second.substr(0, 20));
  check<DataError>(contents.checksummed, "load_run", "expected a checksum in {}, as save_run writes it; there is none", path);
  contents.metadata.erase(kFormat);
  return contents;
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

void save_run(const std::string& path, const Module& net, const optim::Optimizer& opt, const RunState& state) {
  const RandomState random = random_state();
  SafeTensors contents{.tensors = {}, .metadata = state.metadata, .checksummed = true};
  contents.metadata.insert_or_assign(kFormat, std::string(kThisFormat));
  put(contents.tensors, "model.", net.state());
  put(contents.tensors, "optimizer.", opt.state());
  put(contents.tensors, "loss.", state.loss);
  put(contents.tensors, "records.", state.records);
  put(contents.tensors, "best.", state.best);
  if (state.part) put(contents.tensors, "part.", state.part->sums);
  put(contents.tensors, "run.",
      {{"epochs", integer(static_cast<std::uint64_t>(state.epochs))},
       {"batches", integer(static_cast<std::uint64_t>(state.part ? state.part->batches : 0))},
       {"random.seed", integer(random.seed)},
       {"random.next", integer(random.next)}});
  write_safetensors(path, contents);
}

RunState load_run(const std::string& path, Module& net, optim::Optimizer& opt) {
  SafeTensors contents = read_run(path);
  const auto take_count = [&](const char* name, std::uint64_t most) {
    const std::uint64_t count = take_integer(path, contents.tensors, name);
    check<DataError>(count <= most, "load_run", "expected a count as '{}' in {}; got {}", name, path, count);
    return count;
  };
  const std::uint64_t epochs = take_count("run.epochs", std::numeric_limits<int>::max());
  const std::uint64_t batches = take_count("run.batches", std::numeric_limits<std::int64_t>::max());
  const RandomState random{.seed = take_integer(path, contents.tensors, "run.random.seed"),
                           .next = take_integer(path, contents.tensors, "run.random.next")};
  naming_the_file("load_run", path, [&] {
    net.load_state(part_of(contents.tensors, "model."));
    opt.load_state(part_of(contents.tensors, "optimizer."));
  });
  set_random_state(random);
  EpochPart part{.batches = static_cast<std::int64_t>(batches), .sums = part_of(contents.tensors, "part.")};
  return {.epochs = static_cast<int>(epochs),
          .part = batches == 0 ? nullptr : std::make_shared<EpochPart>(std::move(part)),
          .metadata = std::move(contents.metadata),
          .loss = part_of(contents.tensors, "loss."),
          .records = part_of(contents.tensors, "records."),
          .best = part_of(contents.tensors, "best.")};
}

std::map<std::string, std::string> read_run_metadata(const std::string& path) { return read_run(path).metadata; }

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
