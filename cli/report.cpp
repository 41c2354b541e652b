// heft report: one page, without a network, that shows a run or compares several.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <ostream>
#include <string_view>
#include <utility>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/report_data.h"
#include "core/check.h"
#include "core/version.h"
#include "report_files.h"  // the page's parts, which CMake makes constants of
#include "train/atomic_file.h"
#include "train/record_json.h"

namespace heft::cli {
namespace {

struct Flags {
  std::vector<std::string> folders;
  std::string out = "report.html";
};

constexpr const char* kExamples = R"(Examples:
  heft report runs/absgd
      curves, classes, samples and their weights of one run, in report.html
  heft report runs/sgd runs/absgd runs/drw -o compare.html
      several runs in the same charts; where they differ in lambda, accuracy against lambda
  heft report runs/tails -o tails.html
      the table of a study, with accuracy against lambda where it tried several

The page is one file that needs nothing else: no network, no server. What a run did not record (--no-record) is left out.)";

// JSON that an HTML parser can take neither for the end of its script element nor for a comment.
std::string script_text(const Json& json) {
  std::string safe;
  for (const char c : train::record::text(json)) {
    if (c == '<' || c == '>' || c == '&') safe += fmt::format("\\u{:04x}", static_cast<int>(c));
    else safe += c;
  }
  return safe;
}

// The template with each @name@ replaced; what comes in is not searched again.
std::string page(const Json& data) {
  const std::pair<std::string_view, std::string> parts[] = {
      {"@report.css@", std::string(report_css)},   {"@data@", script_text(data)},
      {"@draw.js@", std::string(draw_js)},         {"@weights.js@", std::string(weights_js)},
      {"@overview.js@", std::string(overview_js)}, {"@batch.js@", std::string(batch_js)},
      {"@page.js@", std::string(page_js)}};
  std::string html;
  std::string_view rest = report_html;
  for (const auto& [name, text] : parts) {  // in the template's order
    const std::size_t at = rest.find(name);
    html.append(rest.substr(0, at)).append(text);
    rest.remove_prefix(at + name.size());
  }
  return html.append(rest);
}

std::string counted(std::size_t n, const std::string& one, const std::string& several) {
  return fmt::format("{} {}", n, n == 1 ? one : several);
}

int run(const Flags& flags) {
  check<ValueError>(std::filesystem::path(flags.out).extension() == ".html", "report",
                    "expected --out to end in .html, so that it cannot be a file of a run; got {}", flags.out);
  const std::string out = output_file("report", flags.out, ".html");
  Json data = {{"version", HEFT_VERSION}, {"runs", Json::array()}, {"studies", Json::array()}};
  for (const std::string& folder : flags.folders) {
    if (is_study(folder)) data["studies"].push_back(study_data(folder));
    else data["runs"].push_back(run_data(folder));
  }
  number_families(data["runs"]);
  const std::string html = page(data);
  train::write_atomically(out, html);
  const std::size_t runs = data["runs"].size(), studies = data["studies"].size();
  std::string what = runs > 0 ? counted(runs, "run", "runs") : "";
  if (studies > 0) what += (runs > 0 ? ", " : "") + counted(studies, "study", "studies");
  results() << fmt::format("written to {}: {}, {} kB\n", flags.out, what, (html.size() + 999) / 1000);
  return kSuccess;
}

}  // namespace

void add_report(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("report", "Show a run, or compare several, in one HTML page");
  const auto flags = std::make_shared<Flags>();
  command->add_option("folders", flags->folders, "Folders that heft train or heft study wrote")->required();
  command->add_option("-o,--out", flags->out, "The page")->capture_default_str();
  command->footer(kExamples);
  command->callback([flags, &exit_code] { exit_code = run(*flags); });
}

}  // namespace heft::cli
