// The page of heft report in a real browser: it opens, its slider moves its curves to the numbers of optim/, nothing is written
// to the console, nothing is fetched, nothing sticks out at 1280 and 400 pixels.
#ifdef HEFT_CLI_PATH

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "optim/solve_lambda.h"
#include "tests/catch_compat.h"
#include "tests/cli/program.h"
#include "tests/cli/report_run.h"
#include "tests/train/files.h"

using heft::test::contains;
using heft::test::heft_command;
using heft::test::kHostile;
using heft::test::read_text;
using heft::test::TemporaryDirectory;
using heft::test::write_run;
using heft::test::WrittenRun;
using nlohmann::json;

namespace {

std::string chromium() {
  for (const char* name : {"chromium", "chromium-browser", "google-chrome"})
    if (std::system(("command -v " + std::string(name) + " >/dev/null 2>&1").c_str()) == 0) return name;
  return {};
}

// Runs before the page's own script.
constexpr const char* kBefore = R"(<script>
window.complaints = [];
addEventListener('error', (event) => complaints.push(String(event.message)));
addEventListener('securitypolicyviolation', (event) => complaints.push('policy: ' + event.violatedDirective));
</script>)";

// Plays a reader and tells the frame around it what there was to see.
constexpr const char* kReader = R"(<script>
addEventListener('load', () => {
  const at = (id) => document.getElementById(id);
  const look = () => ({
    lambda: at('lambda-value').textContent, ess: Number(at('lambda-says').dataset.ess), kl: Number(at('lambda-says').dataset.kl),
    curve: at('weight-curve').getAttribute('d'), says: at('lambda-says').textContent,
  });
  const move = (place) => {
    at('lambda').value = String(place);
    at('lambda').dispatchEvent(new Event('input', {bubbles: true}));
    return look();
  };
  const choose = (run) => {
    at('run').value = String(run);
    at('run').dispatchEvent(new Event('change', {bubbles: true}));
  };
  const seen = {moves: {}, floored: {}, priors: {}, flooredPriors: {}};
  choose(0);
  seen.first = look();
  for (const place of PLACES) seen.floored[place] = move(place);
  at('floor').click();
  for (const place of PLACES) seen.moves[place] = move(place);
  at('lambda-run').click();
  seen.back = look();
  const canvas = document.querySelector('canvas');
  seen.pixels = [...canvas.getContext('2d').getImageData(0, 0, 2, 1).data];
  seen.label = document.querySelector('#hardest strong').textContent;
  seen.flipped = document.querySelector('#hardest .badge').textContent;
  const chart = document.querySelector('#curves-charts svg[role=img]'), readout = chart.parentElement.querySelector('.readout');
  chart.dispatchEvent(new KeyboardEvent('keydown', {key: 'Home'}));
  seen.readout = readout.textContent;
  choose(1);
  for (const place of PLACES) seen.flooredPriors[place] = move(place);
  at('floor').click();
  for (const place of PLACES) seen.priors[place] = move(place);
  choose(2);
  seen.bare = {hidden: at('dro-panels').hidden, note: at('dro-none').textContent, samples: at('hardest-note').textContent};
  choose(0);
  seen.figures = document.querySelectorAll('figure svg').length;
  seen.images = document.images.length;
  seen.hacked = Boolean(window.hacked);
  seen.unlabelled = [...document.querySelectorAll('input, select, button')]
      .filter((x) => !(x.labels && x.labels.length) && !x.textContent.trim()).map((x) => x.id);
  seen.fetched = performance.getEntriesByType('resource').length;
  seen.width = [document.documentElement.scrollWidth, innerWidth];
  seen.complaints = complaints;
  parent.postMessage(seen, '*');
});
</script>)";

// --dump-dom shows what it was told; <, > and & would come out as entities.
std::string frames(const std::vector<int>& widths) {
  std::string html = R"(<!DOCTYPE html><body><pre id="told"></pre><script>
const told = {};
addEventListener('message', (event) => {
  told[event.data.width[1]] = event.data;
  document.getElementById('told').textContent = JSON.stringify(told).replace(/[<>&\u00a0]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
});
console.log('the console is heard');
</script>)";
  for (const int width : widths)
    html += "<iframe src=\"page.html\" style=\"border:0;height:3000px;width:" + std::to_string(width) + "px\"></iframe>\n";
  return html;
}

std::string replaced(std::string text, const std::string& part, const std::string& by) {
  const std::size_t at = text.rfind(part);
  REQUIRE(at != std::string::npos);
  return text.replace(at, part.size(), by);
}

std::vector<std::string> console_lines(const std::string& log) {
  std::vector<std::string> lines;
  std::istringstream text(log);
  for (std::string line; std::getline(text, line);)
    if (contains(line, "CONSOLE")) lines.push_back(line);
  return lines;
}

// Of places -100 to 100 on the slider.
double lambda_at(int place) {
  return place == 0 ? INFINITY : (place > 0 ? 1 : -1) * 100 * std::pow(0.05 / 100, (std::abs(place) - 1) / 99.0);
}

struct Expected {
  double ess = 0, kl = 0;
};
// By brute force, with the least effective share of `floor`.
Expected expected(const std::vector<double>& losses, const std::vector<double>& priors, double lambda, double floor) {
  if (floor > 0 && std::isfinite(lambda) && heft::optim::effective_share_at(losses, priors, lambda) < floor)
    lambda = heft::optim::lambda_for_effective_share(losses, priors, floor, {.sign = lambda < 0 ? -1.0 : 1.0}).lambda;
  double sum = 0, squares = 0, mass = 0;
  const auto q = [&](std::size_t i) { return priors.empty() ? 1 : priors[i]; };
  std::vector<double> w(losses.size());
  for (std::size_t i = 0; i < losses.size(); ++i) {
    w[i] = q(i) * std::exp(losses[i] / lambda - (lambda < 0 ? losses.front() : losses.back()) / lambda);
    sum += w[i];
    squares += w[i] * w[i];
    mass += q(i);
  }
  Expected e{.ess = sum * sum / squares};
  for (std::size_t i = 0; i < w.size(); ++i)
    if (w[i] > 0) e.kl += w[i] / sum * std::log(w[i] / sum * mass / q(i));
  return e;
}

const std::vector<int> kPlaces = {-100, -60, -1, 0, 30, 52, 75, 100};

void check_moves(const json& moves, const std::vector<double>& priors, double floor) {
  for (const int place : kPlaces) {
    const json& seen = moves.at(std::to_string(place));
    const Expected e = expected(WrittenRun{}.losses, priors, lambda_at(place), floor);
    INFO("place " << place << ", floor " << floor << ": " << seen.dump());
    CHECK(seen["ess"].get<double>() == Approx(e.ess).epsilon(1e-9));
    CHECK(seen["kl"].get<double>() == Approx(e.kl).epsilon(1e-9).margin(1e-12));
  }
}

}  // namespace

TEST_CASE("heft report: in a browser", "[cli][report][browser]") {
  const std::string browser = chromium();
  if (browser.empty()) HEFT_SKIP("the report in a browser: neither chromium, chromium-browser nor google-chrome is found");
  const TemporaryDirectory folder;
  const std::string name = "<img src=x onerror=window.hacked=1>";
  write_run(folder, name);
  write_run(folder, "priors", {.priors = true});
  const std::string bare = "bare" + std::string(120, 'x');
  write_run(folder, bare, {.lambda = 5});
  for (const char* file : {"steps.jsonl", "snapshots.jsonl", "samples.json"})
    std::filesystem::remove(folder.file(bare + "/" + file));
  REQUIRE(heft_command(folder, "report '" + folder.file(name) + "' '" + folder.file("priors") + "' '" + folder.file(bare) +
                                   "' -o '" + folder.file("report.html") + "'")
              .exit_code == 0);
  std::string reader = kReader;
  while (contains(reader, "PLACES")) reader = replaced(reader, "PLACES", json(kPlaces).dump());
  const std::string report = read_text(folder.file("report.html"));
  folder.write("page.html", replaced(replaced(report, "<link rel=\"icon\"", kBefore + std::string("<link rel=\"icon\"")),
                                     "</body>", reader + "</body>"));
  folder.write("frames.html", frames({1280, 400}));
  const std::string command =
      browser + " --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir='" + folder.file("profile") +
      "' --enable-logging=stderr --virtual-time-budget=20000 --window-size=1300,900 --dump-dom 'file://" +
      folder.file("frames.html") + "' >'" + folder.file("dom") + "' 2>'" + folder.file("log") + "'";
  REQUIRE(std::system(command.c_str()) == 0);
  const std::string dom = read_text(folder.file("dom")), log = read_text(folder.file("log"));
  const std::string open = "<pre id=\"told\">";
  const std::size_t begin = dom.find(open) + open.size();
  for (const std::string& line : console_lines(log)) UNSCOPED_INFO(line);
  const std::string told = dom.substr(begin, dom.find("</pre>", begin) - begin);
  REQUIRE_FALSE(told.empty());

  CHECK(console_lines(log).size() == 1);
  CHECK(contains(log, "the console is heard"));

  const json widths = json::parse(told);
  REQUIRE(widths.size() == 2);
  for (const char* width : {"1280", "400"}) {
    INFO("at " << width);
    REQUIRE(widths.contains(width));
    const json& seen = widths[width];
    CHECK(seen["complaints"] == json::array());
    CHECK(seen["fetched"] == 0);
    CHECK(seen["width"][0] <= seen["width"][1]);
    CHECK(seen["unlabelled"] == json::array());
    CHECK(seen["figures"] >= 14);
    CHECK(seen["images"] == 0);
    CHECK(seen["hacked"] == false);
    CHECK(seen["label"] == kHostile);
    CHECK(seen["flipped"] == "✗ flipped, was bag");
    CHECK(seen["pixels"] == json({0x00, 0x80, 0x10, 255, 0xff, 0x40, 0xc0, 255}));
    CHECK(contains(seen["readout"].get<std::string>(), "epoch 1: "));

    check_moves(seen["floored"], {}, 0.5);
    check_moves(seen["moves"], {}, 0);
    check_moves(seen["flooredPriors"], heft::test::written_priors(), 0.5);
    check_moves(seen["priors"], heft::test::written_priors(), 0);
    CHECK(seen["first"]["lambda"] == "2");
    CHECK(seen["back"]["lambda"] == "2");
    CHECK(seen["moves"]["-60"]["curve"] != seen["moves"]["75"]["curve"]);
    CHECK(seen["moves"]["0"]["lambda"] == "∞");
    CHECK(seen["moves"]["0"]["kl"] == 0);
    CHECK(contains(seen["floored"]["100"]["says"].get<std::string>(), "eased to λ"));
    CHECK(seen["bare"]["hidden"] == true);
    CHECK(contains(seen["bare"]["note"].get<std::string>(), bare + " has no recorded batches"));
    CHECK(contains(seen["bare"]["samples"].get<std::string>(), "--no-record"));
  }
}

#endif
