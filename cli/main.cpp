// heft: trains small networks on imbalanced images. `heft --help` says how.
#include <exception>
#include <iostream>

#include "cli/commands.h"
#include "cli/output.h"
#include "core/core_sharing.h"
#include "core/error.h"
#include "core/version.h"

namespace {

int complain(const std::exception& error, int exit_code) {
  std::cerr << "heft: " << error.what() << '\n';
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace heft::cli;
  const heft::CoreSharing sharing;
  CLI::App app("heft: small networks on imbalanced or partly mislabelled images, with distributionally robust optimizers",
               "heft");
  app.set_version_flag("--version", "heft " HEFT_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 success, 2 wrong flag or value, 3 bad data or a damaged checkpoint, 4 the run diverged, 130 Ctrl-C, 143 "
      "TERM, 1 anything else.\n"
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
    return exit_code;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kSuccess : kUsage;
  } catch (const heft::DataError& error) {
    return complain(error, kBadData);
  } catch (const heft::NumericError& error) {
    notes() << "heft: the run diverged; a lower --lr or a warm-up may help\n";
    return complain(error, kDiverged);
  } catch (const heft::ValueError& error) {
    return complain(error, kUsage);
  } catch (const heft::DeviceError& error) {
    return complain(error, kUsage);
  } catch (const std::exception& error) {
    return complain(error, kFailure);
  }
}
