#include "cli/study_file.h"

#include <filesystem>

#include "cli/toml_file.h"
#include "core/check.h"

namespace heft::cli {
namespace {

constexpr const char* kOp = "study";

// `others`: keys that are no fields of a recipe.
train::StudyFields read_fields(const TomlTable& table, const std::vector<std::string>& others) {
  train::StudyFields fields{.name = table.name(), .where = table.where()};
  table.each_field(others, [&fields](const TomlNode& node) { fields.fields.push_back(node.field()); });
  return fields;
}

train::StudyMethod read_method(const TomlTable& table) {
  train::StudyMethod method{read_fields(table, {"name", "datasets", "choose"})};
  method.datasets = table.names("datasets");
  table.table("choose").each_field({}, [&method](const TomlNode& node) {
    train::RecipeFields& alternatives = method.choose.emplace_back();
    for (const toml::node& value : node.values("values to choose from, as in [0.1, 0.2],"))
      alternatives.push_back(TomlNode{value, node.key, node.file}.field());
  });
  return method;
}

}  // namespace

train::Study read_study(const std::string& path) { return parse_study(read_toml_text(kOp, "a study's TOML file", path), path); }

train::Study parse_study(const std::string& text, const std::string& path) {
  const TomlFile place{kOp, path};
  const toml::table root = parse_toml(kOp, text, path);
  const TomlTable file(root, place);
  file.check_keys({"name", "seeds", "baseline", "report", "choosing", "shots", "base", "dataset", "method"});
  train::Study study{.name = file.get<std::string>("name", "a text", std::filesystem::path(path).stem().string()),
                     .text = text,
                     .seeds = file.seeds("seeds")};
  check(!study.name.empty() && study.name.find('/') == std::string::npos && study.name[0] != '.', kOp,
        "expected a name that a folder can have, without / and no . in front, in {}; got '{}'", path, study.name);
  study.baseline = file.get<std::string>("baseline", "a method's name", "");
  const std::string report = file.get<std::string>("report", "'last' or 'best-on-test'", "last");
  if (report != "last" && report != "best-on-test") file.find("report")->refuse("'last' or 'best-on-test'");
  study.best_on_test = report == "best-on-test";
  const TomlTable choosing = file.table("choosing"), shots = file.table("shots");
  choosing.check_keys({"seeds", "validation"});
  study.choosing_seeds = choosing.seeds("seeds");
  study.validation = choosing.get<double>("validation", "a share", study.validation);
  shots.check_keys({"many", "few"});
  study.shots.many = shots.get<std::int64_t>("many", "a whole number", study.shots.many);
  study.shots.few = shots.get<std::int64_t>("few", "a whole number", study.shots.few);
  study.base = read_fields(file.table("base"), {}).fields;
  for (const TomlTable& table : file.tables("dataset")) study.datasets.push_back(read_fields(table, {"name"}));
  for (const TomlTable& table : file.tables("method")) study.methods.push_back(read_method(table));
  return study;
}

}  // namespace heft::cli
