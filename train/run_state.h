// The state of a training run in one safetensors file, so that it can go on where it stopped.
#pragma once

#include <map>
#include <string>

#include "layers/module.h"
#include "optim/optimizer.h"

namespace heft::train {

// Writes, atomically: the network under "model.", the optimizer with its reduction under "optimizer.", a loss's memory, if
// it has one, under "loss.", and
// "run.epochs" (finished), "run.random.seed", "run.random.next" (core/random.h).
void save_run(const std::string& path, const Module& net, const optim::Optimizer& opt, int epochs,
              const std::map<std::string, std::string>& metadata = {}, const std::map<std::string, Tensor>& loss_state = {});

struct LoadedRun {
  int epochs = 0;  // finished
  std::map<std::string, std::string> metadata = {};
  std::map<std::string, Tensor> loss_state = {};
};
// Restores all of it, the process's random state included. fit() with first_epoch = epochs + 1 then gives, on the same
// machine with the same threads, the bits an uninterrupted run gives. Throws DataError where the file is damaged or is not
// the state of such a run; then nothing is changed but, where it is the optimizer that does not fit, the network.
LoadedRun load_run(const std::string& path, Module& net, optim::Optimizer& opt);

// The network alone, with the names of Module::state(): what other programs read.
void save_model(const std::string& path, const Module& net, const std::map<std::string, std::string>& metadata = {});
// Reads such a file or one of save_run. Throws DataError.
std::map<std::string, std::string> load_model(const std::string& path, Module& net);

}  // namespace heft::train
