#include "cli/machine.h"

#include <fmt/format.h>

#include <sys/utsname.h>
#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

namespace heft::cli {
namespace {

// The first line of /proc/cpuinfo of that name, after its colon.
std::string cpuinfo(const std::string& name) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name)) return line.substr(std::min(line.size(), line.find(':') + 2));
  return "";
}

std::string for_shell(const std::string& argument) {
  constexpr const char* kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%";
  if (!argument.empty() && argument.find_first_not_of(kPlain) == std::string::npos) return argument;
  std::string safe = "'";
  for (const char c : argument) safe += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return safe += '\'';
}

}  // namespace

std::string processor() {
  const std::string name = cpuinfo("model name");
  return name.empty() ? "unknown" : name;
}

std::vector<std::string> processor_features() {
  const std::vector<std::string> telling{"sse4_1",      "avx",         "avx2",     "fma",      "avx512f",     "avx512bw",
                                         "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "avx512_fp16", "asimd"};
  std::string line = cpuinfo("flags");
  if (line.empty()) line = cpuinfo("Features");  // as ARM has it
  std::vector<std::string> features;
  std::istringstream words(line);
  for (std::string word; words >> word;)
    if (std::find(telling.begin(), telling.end(), word) != telling.end()) features.push_back(word);
  return features;
}

std::string operating_system() {
  utsname names{};
  uname(&names);
  return fmt::format("{} {}", names.sysname, names.machine);
}

std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string text;
  for (std::string argument; std::getline(file, argument, '\0');) {
    if (!text.empty()) text += ' ';
    text += for_shell(argument);
  }
  return text.empty() ? "unknown" : text;
}

}  // namespace heft::cli
