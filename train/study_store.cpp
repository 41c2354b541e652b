#include "train/study_store.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "train/atomic_file.h"
#include "train/recipe.h"

namespace heft::train {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}
template <class T>
std::optional<T> or_unset(const Json& value) {
  return value.is_null() ? std::optional<T>() : value.get<T>();
}

StudyResult read_result(const Json& json) {
  StudyResult r{.dataset = json.at("dataset"), .method = json.at("method")};
  r.choosing = json.at("choosing");
  r.setting = json.at("setting");
  r.seed = json.at("seed");
  const Json& recipe = json.at("recipe");
  for (const Json* table : {&recipe, &recipe.at("data")}) table->get_ref<const Json::object_t&>();
  r.recipe = recipe.dump();
  r.best_on_test = json.at("best_on_test");
  r.diverged = or_unset<std::string>(json.at("diverged"));
  r.epoch = json.at("epoch");
  r.metrics = json.at("metrics").get<std::map<std::string, double>>();
  for (const Json& accuracy : json.at("per_class_accuracy")) r.per_class_accuracy.push_back(or_unset<double>(accuracy));
  r.class_counts = json.at("class_counts").get<std::vector<std::int64_t>>();
  r.collapsed_to = or_unset<std::int64_t>(json.at("collapsed_to"));
  r.train_loss = json.at("train_loss");
  r.seconds = json.at("seconds");
  r.finished = json.at("finished");
  r.environment = json.at("environment").get<std::map<std::string, std::string>>();
  return r;
}

// In one form. A field that was not there yet when a result was written had what is now its default.
std::string compact(const std::string& recipe) {
  const Recipe unset;
  static const Json defaults = Json::parse(to_json(unset));
  Json whole = Json::parse(recipe);
  const auto complete = [](Json& fields, const Json& by) {
    for (const auto& [name, value] : by.items())
      if (!fields.contains(name)) fields[name] = value;
  };
  complete(whole, defaults);
  complete(whole["data"], defaults["data"]);
  return nlohmann::json(whole).dump();  // names in alphabetic order
}

}  // namespace

std::string result_line(const StudyResult& r) {
  Json json;
  json["dataset"] = r.dataset;
  json["method"] = r.method;
  json["choosing"] = r.choosing;
  json["setting"] = r.setting;
  json["seed"] = r.seed;
  json["best_on_test"] = r.best_on_test;
  json["diverged"] = or_null(r.diverged);
  json["epoch"] = r.epoch;
  json["metrics"] = r.metrics;
  json["per_class_accuracy"] = Json::array();
  for (const std::optional<double>& accuracy : r.per_class_accuracy) json["per_class_accuracy"].push_back(or_null(accuracy));
  json["class_counts"] = r.class_counts;
  json["collapsed_to"] = or_null(r.collapsed_to);
  json["train_loss"] = r.train_loss;
  json["seconds"] = r.seconds;
  json["finished"] = r.finished;
  json["environment"] = r.environment;
  json["recipe"] = Json::parse(r.recipe);
  return json.dump();
}

StudyResult read_result_line(const std::string& line) {
  try {
    return read_result(Json::parse(line));
  } catch (const nlohmann::json::exception& error) {
    fail<DataError>("study", "expected the result of a run; {}", error.what());
  }
}

StudyStore::StudyStore(std::string path) : path_(std::move(path)) {
  std::ifstream file(path_, std::ios::binary);
  text_.assign(std::istreambuf_iterator<char>(file), {});
  text_.resize(text_.rfind('\n') + 1);  // npos + 1 is 0
  for (std::size_t begin = 0, line = 1; begin < text_.size(); ++line) {
    const std::size_t end = text_.find('\n', begin);
    try {
      keep(read_result_line(text_.substr(begin, end - begin)));
    } catch (const DataError& error) {
      fail<DataError>("study", "expected results of runs in {}:{}; {}", path_, line, error.what());
    }
    begin = end + 1;
  }
}

void StudyStore::keep(StudyResult result) {
  result.recipe = compact(result.recipe);
  by_recipe_.try_emplace({result.recipe, result.best_on_test}, results_.size());
  results_.push_back(std::move(result));
}

const StudyResult* StudyStore::find(const std::string& recipe, bool best_on_test) const {
  const auto found = by_recipe_.find({compact(recipe), best_on_test});
  return found == by_recipe_.end() ? nullptr : &results_[found->second];
}

const StudyResult* StudyStore::find_like(const StudyResult& run) const {
  for (auto result = results_.rbegin(); result != results_.rend(); ++result)
    if (result->dataset == run.dataset && result->method == run.method && result->choosing == run.choosing &&
        result->seed == run.seed && (!run.choosing || result->setting == run.setting))
      return &*result;
  return nullptr;
}

void StudyStore::add(const StudyResult& result) {
  const std::string text = text_ + result_line(result) + '\n';
  write_atomically(path_, text);
  text_ = text;
  keep(result);
}

std::string recipe_changes(const std::string& before, const std::string& now) {
  const Json a = Json::parse(before).flatten(), b = Json::parse(now).flatten();
  const auto show = [](const Json& json, const std::string& key) { return json.contains(key) ? json[key].dump() : "unknown"; };
  std::string text;
  const auto add = [&](const std::string& key) {
    std::string name = key.substr(1);
    std::replace(name.begin(), name.end(), '/', '.');
    text += fmt::format("{}{} {} (was {})", text.empty() ? "" : ", ", name, show(b, key), show(a, key));
  };
  for (const auto& [key, value] : b.items())
    if (!a.contains(key) || a[key] != value) add(key);
  for (const auto& [key, value] : a.items())
    if (!b.contains(key)) add(key);
  return text;
}

}  // namespace heft::train
