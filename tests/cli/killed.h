// heft train as a process that is killed, and runs that are compared.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch_compat.h"
#include "tests/cli/program.h"

namespace heft::test {

// Timings aside.
inline std::vector<nlohmann::json> metrics_of(const std::string& run) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(read_text(run + "/metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    lines.push_back(nlohmann::json::parse(line));
    for (const char* key : {"seconds", "images_per_second"}) lines.back().erase(key);
  }
  return lines;
}

inline std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> all;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) all.push_back(word);
  return all;
}

// The program as a child; the words of `arguments` have no spaces in them.
inline pid_t start(const std::string& arguments) {
  std::vector<std::string> all = words(arguments);
  all.insert(all.begin(), HEFT_CLI_PATH);
  std::vector<char*> pointers;
  for (std::string& word : all) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  std::cout << std::flush;  // else the child would write it again
  const pid_t child = fork();
  if (child == 0) {
    if (freopen("/dev/null", "w", stdout) == nullptr || freopen("/dev/null", "w", stderr) == nullptr) _exit(126);
    execv(pointers[0], pointers.data());
    _exit(127);
  }
  return child;
}

inline ino_t inode_of(const std::string& path) {
  struct stat file = {};
  return ::stat(path.c_str(), &file) == 0 ? file.st_ino : 0;
}

// Its status when it ends; before, `signal` is sent once `path` has been another file so many times.
inline int status_after(pid_t child, const std::string& path, int signal, int changes = 1) {
  int status = 0;
  for (ino_t last = inode_of(path); changes > 0;) {
    if (waitpid(child, &status, WNOHANG) == child) return status;
    const ino_t now = inode_of(path);
    changes -= now != last;
    last = now;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  kill(child, signal);
  waitpid(child, &status, 0);
  return status;
}

inline void check_same_run(const std::string& a, const std::string& b) {
  CHECK(metrics_of(a) == metrics_of(b));
  for (const char* file : {"/model.safetensors", "/best.safetensors", "/state.safetensors", "/steps.jsonl", "/snapshots.jsonl",
                           "/samples.json", "/config.json"}) {
    INFO(file);
    CHECK(read_text(a + file) == read_text(b + file));
  }
}

}  // namespace heft::test
