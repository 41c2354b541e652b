// The folder of a run as heft train leaves it, small and with names that try to get out of the page.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/data/temporary_directory.h"

namespace heft::test {

constexpr const char* kHostile = "</script><img src=x onerror=\"window.hacked=1\"><!-- & ' ${1} \xe2\x80\xa8";

struct WrittenRun {
  double lambda = 2;
  std::int64_t steps = 12, epochs = 3;
  bool priors = false;
  std::vector<double> losses = {0.1, 0.2, 0.4, 0.9, 2.5, 4};
};

inline std::vector<double> written_priors() { return {0.5, 0.5, 1, 1, 2, 1}; }

inline void write_run(const TemporaryDirectory& folder, const std::string& name, const WrittenRun& run = {}) {
  using nlohmann::json;
  std::filesystem::create_directories(folder.file(name));
  const auto write = [&](const char* file, const std::string& text) { folder.write(name + "/" + file, text); };
  const json data = {{"data", "fashion-mnist"}, {"imbalance", "exp:0.01"}, {"noise", "symmetric:0.4"}};
  write("config.json", json{{"data", data},
                            {"optimizer", "absgd"},
                            {"loss", "cross_entropy"},
                            {"class_weights", run.priors ? "balanced" : "none"},
                            {"reweight", "none"},
                            {"lambda", run.lambda},
                            {"lambda_auto", ""},
                            {"lambda_from", 1},
                            {"min_share", 0.5},
                            {"accumulate", 1},
                            {"seed", 0}}
                           .dump(2));
  std::string metrics, snapshots, steps;
  for (std::int64_t epoch = 1; epoch <= run.epochs; ++epoch) {
    metrics += json{{"epoch", epoch},
                    {"train_loss", 2.0 / static_cast<double>(epoch)},
                    {"train_accuracy", 0.5},
                    {"collapsed_to", nullptr},
                    {"test_loss", 1.0},
                    {"test_accuracy", 0.7},
                    {"balanced_accuracy", 0.6},
                    {"worst_class_accuracy", 0.25},
                    {"per_class_accuracy", {0.25, 0.95, nullptr}},
                    {"memorised", 0.3},
                    {"lambda", run.lambda},
                    {"effective_share", 0.8}}
                   .dump() +
               '\n';
    json batch = {{"reduction", "absgd"}, {"lambda", run.lambda}, {"losses", run.losses}};
    batch["weights"] = std::vector<double>(run.losses.size(), 1.25);
    json labels = json::array(), predictions = json::array(), flipped = json::array();
    for (std::size_t i = 0; i < run.losses.size(); ++i) {
      labels.push_back(i % 3);
      predictions.push_back(i % 2);
      flipped.push_back(i == 1);
    }
    batch["labels"] = labels;
    batch["predictions"] = predictions;
    batch["flipped"] = flipped;
    batch["priors"] = run.priors ? json(written_priors()) : json(nullptr);
    snapshots += json{{"epoch", epoch},
                      {"step", epoch * 4},
                      {"mean_loss", 1.5},
                      {"weighted_loss", 1.75},
                      {"weight_by_class", {20.5, 30, 40}},
                      {"count_by_class", {10, 30, 60}},
                      {"confusion", {{1, 2, 1}, {0, 19, 1}, {0, 0, 0}}},
                      {"batch", batch}}
                     .dump() +
                 '\n';
  }
  for (std::int64_t step = 1; step <= run.steps; ++step)
    steps += json{{"epoch", 1},
                  {"step", step},
                  {"samples", 6},
                  {"mean_loss", 1.0 / static_cast<double>(step)},
                  {"weighted_loss", 1.5},
                  {"lr", 0.1},
                  {"effective_sample_size", 4.5},
                  {"kl_from_uniform", 0.25},
                  {"kl_from_prior", 0.25},
                  {"lambda", run.lambda},
                  {"log_u", 0.5},
                  {"batch_log_mean_exp", 0.75}}
                 .dump() +
             '\n';
  write("metrics.jsonl", metrics);
  write("snapshots.jsonl", snapshots);
  write("steps.jsonl", steps);
  const json sample = {
      {"index", 7},    {"label", 0},        {"clean_label", 2},          {"predicted", 2}, {"loss", 4},
      {"weight", 3.5}, {"confidence", 0.9}, {"label_probability", 0.02}, {"margin", -1},   {"pixels", "00ff804010c0"}};
  write("samples.json", json{{"epoch", run.epochs},
                             {"classes", {kHostile, "shirt", "bag"}},
                             {"class_counts", {10, 30, 60}},
                             {"image", {3, 1, 2}},
                             {"hardest", {sample}},
                             {"suspects", {sample}}}
                                .dump() +
                            '\n');
}

}  // namespace heft::test
