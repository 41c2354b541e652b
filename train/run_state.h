// The state of a training run in one safetensors file, so that it can go on where it stopped.
#pragma once

#include <map>
#include <string>

#include "layers/module.h"
#include "optim/optimizer.h"
#include "train/fit.h"

namespace heft::train {

// Where a run stands, beside the network, the optimizer and the process's random numbers.
struct RunState {
  int epochs = 0;                                   // finished
  std::shared_ptr<const EpochPart> part = nullptr;  // of the next one (train/fit.h); null: it has not begun
  std::map<std::string, std::string> metadata = {};
  std::map<std::string, Tensor> loss = {};     // a loss's memory, where it has one
  std::map<std::string, Tensor> records = {};  // Recorder::state()
  std::map<std::string, Tensor> best = {};     // BestEpoch::state()
};

// Writes, atomically and with a checksum (train/safetensors.h): the network under "model.", the optimizer with its reduction
// under "optimizer.", "loss.", "records." and "best." as they are, the unfinished epoch under "part.", and "run.epochs",
// "run.batches" (of that epoch), "run.random.seed", "run.random.next" (core/random.h). The metadata gets "heft.run", the
// format.
void save_run(const std::string& path, const Module& net, const optim::Optimizer& opt, const RunState& state);

// Restores all of it, the process's random state included. fit() with first_epoch = epochs + 1 and `part` then gives, on the
// same machine with the same threads, the bits an uninterrupted run gives. Throws DataError where the file is damaged or is not
// the state of such a run, naming the tensor; then nothing is changed but, where it is the optimizer that does not fit, the
// network.
RunState load_run(const std::string& path, Module& net, optim::Optimizer& opt);
// Its metadata alone, the whole file checked all the same.
std::map<std::string, std::string> read_run_metadata(const std::string& path);

// The network alone, with the names of Module::state(): what other programs read.
void save_model(const std::string& path, const Module& net, const std::map<std::string, std::string>& metadata = {});
// Reads such a file or one of save_run. Throws DataError.
std::map<std::string, std::string> load_model(const std::string& path, Module& net);

}  // namespace heft::train
