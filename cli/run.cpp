#include "cli/run.h"
#include "cli/output.h"
#include "train/epoch_meter.h"

#include <fmt/format.h>

#include <atomic>
#include <csignal>

namespace heft::cli {
namespace {

std::atomic<int> stop_asked{0};  // by that signal

void note(int signal) {
  stop_asked = signal;
  std::signal(signal, SIG_DFL);
}

constexpr std::int64_t kYoung = 50;  // steps, of which nothing is to be expected yet

// One that has only begun often predicts one class.
bool warns_of_collapse(const train::Setup& setup, const train::EpochReport& report) {
  return report.collapsed_to && report.epoch * setup.loader->size() >= kYoung;
}

std::string collapse_warning(const train::Setup& setup, const train::EpochReport& report) {
  return fmt::format(
      "warning: epoch {}: the network has collapsed, it came to predict {} for all images. A lower --lr{} may help; what was "
      "learnt is unlikely to come back in this run",
      report.epoch, class_names(*setup.data.train)[static_cast<std::size_t>(*report.collapsed_to)],
      setup.recipe.lambda ? ", a --lambda further from 0 or a later --lambda-from-epoch" : " or a --clip-norm");
}

// Whether training does well and the evaluation after it finds one class only.
bool lags(const train::EpochReport& report) {
  const std::optional<train::Evaluation>& seen = report.validation ? report.validation : report.test;
  return !report.collapsed_to && seen && report.train_accuracy > 0.5 && train::collapsed_to(seen->confusion);
}

std::string lag_warning(const train::Setup& setup, const train::EpochReport& report) {
  return fmt::format(
      "warning: epoch {}: {} % accurate in training, yet evaluation finds one class only. Batch norm's running statistics "
      "follow "
      "slowly, and an epoch has {} steps: more epochs or a smaller --batch-size help",
      report.epoch, percent(report.train_accuracy), setup.loader->size());
}

std::string clamp_warning(const train::EpochReport& report) {
  return fmt::format(
      "warning: epoch {}: lambda was the end of its range, {:g}, on {:.0f} % of the steps: what --lambda-auto asks for is out "
      "of "
      "reach there",
      report.epoch, report.lambda, 100 * report.lambda_clamped);
}

}  // namespace

StopSignals::StopSignals() {
  std::signal(SIGINT, note);
  std::signal(SIGTERM, note);
}
StopSignals::~StopSignals() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}
bool interrupted() { return stop_asked != 0; }
int interrupted_exit_code() { return 128 + stop_asked; }

RunProgress::RunProgress(std::int64_t total_steps) : progress_(total_steps, {.out = &notes()}) {}

train::FitResult RunProgress::fit(train::Setup& setup, const std::string& label, bool epoch_lines,
                                  const std::function<void(const train::EpochReport&)>& on_epoch) {
  const StopSignals signals;
  train::FitOptions options = setup.fit;
  progress_.set_label(label);
  std::string last;
  options.on_step = [&](const train::StepReport& step) {
    progress_.update(++done_, fmt::format("epoch {}/{}  loss {:.3f}{}", step.epoch, options.epochs, step.mean_loss, last));
  };
  options.on_epoch = [&](const train::EpochReport& report) {
    if (epoch_lines) progress_.print(epoch_line(report));
    if (warns_of_collapse(setup, report)) progress_.print(collapse_warning(setup, report));
    else if (lags(report)) progress_.print(lag_warning(setup, report));
    if (report.lambda_clamped > 0.5) progress_.print(clamp_warning(report));
    if (report.test) last = "  balanced " + percent(report.test->balanced_accuracy) + " %";
    if (on_epoch) on_epoch(report);
  };
  options.stop = interrupted;
  train::FitResult result = train::fit(*setup.net, *setup.optimizer, *setup.loader, options);
  progress_.clear();
  return result;
}

std::string percent(std::optional<double> fraction) { return fraction ? fmt::format("{:.1f}", 100 * *fraction) : "-"; }

std::string epoch_line(const train::EpochReport& report) {
  std::string line = fmt::format("epoch {:3}  loss {:.4f}", report.epoch, report.train_loss);
  const auto add = [&line](const char* name, const train::Evaluation& on) {
    line += fmt::format("  {}: accuracy {} %, balanced {} %, worst class {} %", name, percent(on.accuracy),
                        percent(on.balanced_accuracy), percent(on.worst_class_accuracy));
  };
  if (report.test) add("test", *report.test);
  if (report.validation) add("validation", *report.validation);
  return line + fmt::format("  {:.0f} images/s", report.images_per_second);
}

std::vector<std::string> class_names(const data::Dataset& dataset) {
  std::vector<std::string> names = dataset.class_names();
  for (std::int64_t c = static_cast<std::int64_t>(names.size()); c < dataset.classes(); ++c) names.push_back(std::to_string(c));
  return names;
}

}  // namespace heft::cli
