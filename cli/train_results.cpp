#include "cli/train_results.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/run.h"
#include "train/find_lr.h"
#include "train/metrics_log.h"

namespace heft::cli {
namespace {

void print_text(const train::Setup& setup, const train::EpochReport& last, const train::BestEpoch& best,
                const std::string& out) {
  const train::Evaluation& test = *last.test;
  const std::vector<std::string> names = class_names(*setup.data.train);
  results() << fmt::format("test accuracy      {:>5} %\nbalanced accuracy  {:>5} %\nworst class        {:>5} %\n",
                           percent(test.accuracy), percent(test.balanced_accuracy), percent(test.worst_class_accuracy));
  if (last.validation)
    results() << fmt::format("validation         {:>5} % accuracy, {} % balanced\n", percent(last.validation->accuracy),
                             percent(last.validation->balanced_accuracy));
  results() << fmt::format("\n{:<16}{:>16}{:>12}\n", "class", "training images", "accuracy");
  for (std::size_t c = 0; c < names.size(); ++c)
    results() << fmt::format("{:<16}{:>16}{:>10} %\n", names[c], setup.data.class_counts[c],
                             percent(test.per_class_accuracy[c]));
  if (last.epoch < setup.recipe.epochs)
    results() << fmt::format("\nended after epoch {}: no better one since epoch {}\n", last.epoch, best.epoch());
  // Gone by another's hand, if it is.
  const bool has_best = std::filesystem::exists(std::filesystem::path(out) / "best.safetensors");
  results() << fmt::format("\n{:<20}epoch {}, {} % balanced accuracy on the {} set\n", has_best ? "best.safetensors" : "best",
                           best.epoch(), percent(best.balanced_accuracy()), best.which());
  results() << "written to " << out << ": metrics.jsonl config.json config.toml manifest.json model.safetensors "
            << (has_best ? "best.safetensors " : "") << "state.safetensors\n";
}

// The numbers of metrics.jsonl, of the last epoch, and more.
void print_as_json(const train::Setup& setup, const train::EpochReport& last, const train::BestEpoch& best,
                   const std::string& out) {
  using Json = nlohmann::ordered_json;
  Json json{{"folder", out}, {"epochs", setup.recipe.epochs}};
  json.update(Json::parse(train::metrics_line(last)));
  json["class_names"] = class_names(*setup.data.train);
  json["class_counts"] = setup.data.class_counts;
  json["best"] = {{"epoch", best.epoch()}, {"balanced_accuracy", best.balanced_accuracy()}, {"set", best.which()}};
  print_json(json);
}

void print_range_as_json(const train::LrRange& range, const std::string& path) {
  using Json = nlohmann::ordered_json;
  Json points = Json::array();
  for (const train::LrPoint& point : range.points) points.push_back(Json::parse(train::lr_line(point)));
  print_json({{"file", path},
              {"steepest", range.steepest ? Json(*range.steepest) : Json(nullptr)},
              {"lowest", range.lowest},
              {"suggested", range.steepest ? Json(*range.suggested()) : Json(nullptr)},
              {"diverged", range.diverged},
              {"points", points}});
}

}  // namespace

void print_results(const train::Setup& setup, const train::EpochReport& last, const train::BestEpoch& best,
                   const std::string& out, bool json) {
  (json ? print_as_json : print_text)(setup, last, best, out);
}

int run_find_lr(train::Setup& setup, const std::string& out, bool json) {
  constexpr std::size_t kRows = 12;
  const train::LrRange range = train::find_lr(setup);
  std::filesystem::create_directories(out);
  const std::string path = (std::filesystem::path(out) / "find_lr.jsonl").string();
  train::LineLog log(path);
  for (const train::LrPoint& point : range.points) log.add(train::lr_line(point));
  if (json) {
    print_range_as_json(range, path);
    return kSuccess;
  }
  results() << fmt::format("{:>10}{:>12}\n", "lr", "loss");
  for (std::size_t i = 0; i < range.points.size(); i += std::max<std::size_t>(1, range.points.size() / kRows))
    results() << fmt::format("{:>10.2g}{:>12.4f}\n", range.points[i].lr, range.points[i].smoothed);
  if (range.diverged && !range.points.empty()) results() << fmt::format("diverges at {:.2g}\n", range.points.back().lr);
  if (range.steepest)
    results() << fmt::format("\nfalls fastest at {:.2g}, lowest at {:.2g}: try --lr {:.2g}\n", *range.steepest, range.lowest,
                             *range.suggested());
  else results() << "\nthe loss never falls: no learning rate to suggest\n";
  results() << "written to " << path << '\n';
  return kSuccess;
}

}  // namespace heft::cli
