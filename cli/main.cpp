// heft: trains small networks on imbalanced images. `heft --help` says how.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <iostream>

#include "cli/commands.h"
#include "cli/output.h"
#include "core/core_sharing.h"
#include "core/error.h"
#include "core/version.h"
#include "train/nearest_name.h"

namespace {

// Names of files, which may hold anything, are in errors; a terminal shall only show them.
int complain(const std::exception& error, int exit_code) {
  std::string text = error.what();
  for (char& c : text)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f) c = '?';
  std::cerr << "heft: " << text << '\n';
  return exit_code;
}

// As on a full disk: who reads a file of results shall not take half of them for all.
int complain_of_output() {
  std::cerr << "heft: the results cannot be written to the standard output\n";
  return heft::cli::kFailure;
}

// What was given and is nothing, with what may have been meant; empty where it is something else that is wrong.
std::string unknown_word(const CLI::App& app, int argc, char** argv) {
  const CLI::App* command = &app;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    std::vector<std::string> names;
    if (word.starts_with("--") && word.size() > 2) {
      const std::string flag = word.substr(0, word.find('='));
      if (command->get_option_no_throw(flag) != nullptr || app.get_option_no_throw(flag) != nullptr) continue;
      for (const CLI::Option* option : command->get_options())
        for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
      return fmt::format("expected a flag of {}; got '{}' (nearest: {})", command->get_name(), flag,
                         heft::train::nearest_name(flag, names));
    }
    const auto inner = command->get_subcommands([](const CLI::App*) { return true; });
    if (word.starts_with('-') || inner.empty()) continue;
    for (const CLI::App* one : inner) names.push_back(one->get_name());
    const auto found = std::find(names.begin(), names.end(), word);
    if (found == names.end())
      return fmt::format("expected one of {}; got '{}' (nearest: {})", fmt::join(names, ", "), word,
                         heft::train::nearest_name(word, names));
    command = inner[static_cast<std::size_t>(found - names.begin())];
  }
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  using namespace heft::cli;
  const heft::CoreSharing sharing;
  CLI::App app("heft: small networks on imbalanced or partly mislabelled images, with distributionally robust optimizers",
               "heft");
  app.set_version_flag("--version", "heft " HEFT_VERSION);
  app.require_subcommand(1);
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return fmt::format("heft: {}; --help lists the flags and what they take\n", error.what());
  });
  app.footer(
      "Exit codes: 0 success, 2 wrong flag or value, 3 bad data or a damaged checkpoint, 4 the run diverged, 130 Ctrl-C, 143 "
      "TERM, 1 anything else, as a file that cannot be written.\n"
      "Environment: HEFT_TRAIN_SETTING, a setting of heft train and heft sweep, see there; OMP_NUM_THREADS, threads of the "
      "CPU; "
      "NO_COLOR, a progress bar without colour where it is set to anything.");
  int exit_code = kSuccess;
  add_train(app, exit_code);
  add_demo(app, exit_code);
  add_eval(app, exit_code);
  add_export(app, exit_code);
  add_inspect(app, exit_code);
  add_predict(app, exit_code);
  add_report(app, exit_code);
  add_study(app, exit_code);
  add_sweep(app, exit_code);
  add_summary(app, exit_code);
  add_completion(app, exit_code);
  add_man(app, exit_code);
  add_quiet_flags(app);
  try {
    app.parse(argc, argv);
    return std::cout.flush() || exit_code != kSuccess ? exit_code : complain_of_output();
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0)
      if (const std::string text = unknown_word(app, argc, argv); !text.empty()) {
        std::cerr << "heft: " << text << "; --help has them all\n";
        return kUsage;
      }
    if (app.exit(error) != 0) return kUsage;
    return std::cout.flush() ? kSuccess : complain_of_output();
  } catch (const heft::WriteError& error) {
    return complain(error, kFailure);
  } catch (const heft::DataError& error) {
    return complain(error, kBadData);
  } catch (const heft::NumericError& error) {
    notes() << "heft: the run diverged; a lower --lr or a warm-up may help\n";
    return complain(error, kDiverged);
  } catch (const heft::ValueError& error) {
    return complain(error, kUsage);
  } catch (const heft::DeviceError& error) {
    return complain(error, kUsage);
  } catch (const std::filesystem::filesystem_error& error) {
    return complain(
        heft::WriteError("files", fmt::format("expected files that can be read and written; the system says: {} ({})",
                                              error.code().message(), error.path1().string())),
        kFailure);
  } catch (const std::exception& error) {
    return complain(error, kFailure);
  }
}
