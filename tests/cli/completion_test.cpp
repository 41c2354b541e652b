// What the program writes about itself: completions, of which each shell must make sense, and the manual page.
#ifdef HEFT_CLI_PATH

#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch_compat.h"
#include "tests/cli/program.h"
#include "tests/train/files.h"

using heft::test::contains;
using heft::test::heft_command;
using heft::test::read_text;
using heft::test::Result;
using heft::test::TemporaryDirectory;

namespace {

bool there_is(const char* program) { return std::system(("command -v " + std::string(program) + " >/dev/null").c_str()) == 0; }

// The exit code of a shell's command; its output in "said".
int command(const TemporaryDirectory& folder, const std::string& text) {
  return std::system((text + " >'" + folder.file("said") + "' 2>&1 </dev/null").c_str());
}

// The long names in front of the lines of a command's help.
std::vector<std::string> flags_of(const TemporaryDirectory& folder, const std::string& of) {
  std::istringstream help(heft_command(folder, of + " --help").out);
  std::vector<std::string> flags;
  for (std::string line; std::getline(help, line);) {
    const std::size_t begin = line.find_first_not_of(' ');
    if (begin == std::string::npos || line[begin] != '-') continue;
    const std::string names = line.substr(begin, line.find(' ', begin) - begin);
    if (const std::size_t at = names.find("--"); at != std::string::npos) flags.push_back(names.substr(at));
  }
  CHECK(flags.size() > 3);
  return flags;
}

// Of what bash offers for a command line; the cursor is after its last word.
std::string offered(const TemporaryDirectory& folder, const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += " '" + word + "'";
  folder.write("ask.bash", "set -u\nsource '" + folder.file("heft.bash") + "'\nCOMP_WORDS=(" + line +
                               ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_heft\necho \" ${COMPREPLY[*]-} \"\n");
  CHECK(command(folder, "bash '" + folder.file("ask.bash") + "'") == 0);
  return read_text(folder.file("said"));
}

}  // namespace

TEST_CASE("heft completion: bash offers commands, flags and values", "[cli][completion]") {
  const TemporaryDirectory folder;
  const Result script = heft_command(folder, "completion bash");
  REQUIRE(script.exit_code == 0);
  folder.write("heft.bash", script.out);
  const auto offer = [&](const std::vector<std::string>& words) { return offered(folder, words); };
  const std::string commands = offer({"heft", ""});
  for (const char* name : {" train ", " sweep ", " study ", " inspect ", " completion ", " man "})
    CHECK(contains(commands, name));
  CHECK(offer({"heft", "tr"}) == " train \n");
  CHECK(offer({"heft", "inspect", "c"}) == " checkpoint \n");
  CHECK(offer({"heft", "inspect", "checkpoint", "--j"}) == " --json \n");
  CHECK(offer({"heft", "train", "--lambda-f"}) == " --lambda-from-epoch \n");
  CHECK(offer({"heft", "train", "--out", "runs/a", "--lambda-f"}) == " --lambda-from-epoch \n");
  CHECK(offer({"heft", "train", "--device", "cu"}) == " cuda \n");
  CHECK(offer({"heft", "completion", "z"}) == " zsh \n");
  for (const char* command : {"train", "sweep"}) {
    CHECK(offer({"heft", command, "--model", "resnet2"}) == " resnet20 \n");
    CHECK(contains(offer({"heft", command, "--model", ""}), " mlp lenet5 "));
    CHECK(offer({"heft", command, "--optimizer", ""}) == " sgd adam adamw absgd abadam \n");
    CHECK(offer({"heft", command, "--loss", "ld"}) == " ldam \n");
    CHECK(offer({"heft", command, "--augment", "resized"}) == " resized-crop-flip resized-crop-flip-jitter \n");
  }
  CHECK(offer({"heft", "train", "--noise", ""}) == "  \n");  // more than names
  // Files: what bash does by itself.
  CHECK(offer({"heft", "train", "--config", ""}) == "  \n");
  CHECK(offer({"heft", "eval", ""}) == "  \n");
  CHECK(contains(offer({"heft", "train", "--resume", "--"}), " --epochs "));
}

TEST_CASE("heft completion: no flag is missing in any script or in the manual", "[cli][completion]") {
  const TemporaryDirectory folder;
  const std::string bash = heft_command(folder, "completion bash").out, zsh = heft_command(folder, "completion zsh").out,
                    fish = heft_command(folder, "completion fish").out, man = heft_command(folder, "man").out;
  for (const char* of : {"train", "sweep", "study", "demo", "eval", "predict", "inspect data"})
    for (const std::string& flag : flags_of(folder, of)) {
      INFO(of << " " << flag);
      CHECK(contains(bash, flag));
      CHECK(contains(zsh, "'" + flag + "["));
      CHECK(contains(fish, " -l " + flag.substr(2) + " "));
      std::string escaped;
      for (const char c : flag) escaped += c == '-' ? std::string("\\-") : std::string(1, c);
      if (flag != "--help") CHECK(contains(man, "\\fB" + escaped + "\\fR"));
    }
}

TEST_CASE("heft completion: another shell is refused", "[cli][completion]") {
  const TemporaryDirectory folder;
  CHECK(heft_command(folder, "completion").exit_code == 2);
  const Result result = heft_command(folder, "completion tcsh");
  CHECK(result.exit_code == 2);
  CHECK(contains(result.err, "tcsh"));
}

TEST_CASE("heft completion: zsh reads its script", "[cli][completion]") {
  if (!there_is("zsh")) HEFT_SKIP("there is no zsh");
  const TemporaryDirectory folder;
  folder.write("_heft", heft_command(folder, "completion zsh").out);
  CHECK(command(folder, "zsh -f -n '" + folder.file("_heft") + "'") == 0);
  CHECK(command(folder, "zsh -f -c 'autoload -U compinit && compinit -D && source " + folder.file("_heft") + "'") == 0);
  CHECK(read_text(folder.file("said")).empty());
}

TEST_CASE("heft completion: fish offers commands, flags and values", "[cli][completion]") {
  if (!there_is("fish")) HEFT_SKIP("there is no fish");
  const TemporaryDirectory folder;
  folder.write("heft.fish", heft_command(folder, "completion fish").out);
  const auto offer = [&](const std::string& line) {
    CHECK(command(folder, "fish -N -c 'source " + folder.file("heft.fish") + "; complete -C \"" + line + "\"'") == 0);
    return read_text(folder.file("said"));
  };
  CHECK(contains(offer("heft tr"), "train\tTrain a network\n"));
  CHECK(contains(offer("heft inspect c"), "checkpoint\t"));
  CHECK(contains(offer("heft train --lambda-f"), "--lambda-from-epoch\t"));
  CHECK(contains(offer("heft train --device cu"), "cuda"));
  CHECK(contains(offer("heft train --model resnet2"), "resnet20"));
  CHECK_FALSE(contains(offer("heft eval --lambda"), "--lambda"));
}

TEST_CASE("heft man: a page without warnings", "[cli][completion]") {
  const TemporaryDirectory folder;
  const Result page = heft_command(folder, "man");
  REQUIRE(page.exit_code == 0);
  CHECK(page.out.starts_with(".TH HEFT 1 "));
  for (const char* part : {".SH NAME\n", ".SH SYNOPSIS\n", ".SS heft train\n", ".SS heft inspect run\n",
                           ".SH \"EXIT STATUS\"\n", ".SH ENVIRONMENT\n"})
    CHECK(contains(page.out, part));
  folder.write("heft.1", page.out);
  if (!there_is("groff")) HEFT_SKIP("there is no groff");
  CHECK(command(folder, "groff -ww -man -Tutf8 -z '" + folder.file("heft.1") + "'") == 0);
  CHECK(read_text(folder.file("said")).empty());
}

#endif
