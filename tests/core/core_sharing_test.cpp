#include "core/core_sharing.h"

#ifdef __linux__

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch_compat.h"

namespace {

using namespace std::chrono_literals;

// What decides for CoreSharing is gone, and comes back.
class Unset {
 public:
  Unset() {
    for (const char* name : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"})
      if (const char* value = std::getenv(name)) {
        values_[name] = value;
        unsetenv(name);
      }
  }
  ~Unset() {
    for (const auto& [name, value] : values_) setenv(name.c_str(), value.c_str(), 1);
  }
  Unset(const Unset&) = delete;
  Unset& operator=(const Unset&) = delete;

 private:
  std::map<std::string, std::string> values_;
};

// Processes that want every CPU.
class Others {
 public:
  explicit Others(int count) {
    for (int i = 0; i < count; ++i) {
      const pid_t process = fork();
      if (process == 0) {
        alarm(100);  // should this program not live to end it
        for (std::atomic<unsigned> turn = 0;; ++turn) {
        }
      }
      processes_.push_back(process);
    }
  }
  ~Others() {
    for (const pid_t process : processes_) {
      kill(process, SIGKILL);
      waitpid(process, nullptr, 0);
    }
  }
  Others(const Others&) = delete;
  Others& operator=(const Others&) = delete;

 private:
  std::vector<pid_t> processes_;
};

// Threads that never wait.
class Busy {
 public:
  explicit Busy(int count) : ids_(static_cast<std::size_t>(count)) {
    for (std::atomic<pid_t>& id : ids_)
      threads_.emplace_back([this, &id] {
        id = gettid();
        while (!stopped_) {
        }
      });
    for (const std::atomic<pid_t>& id : ids_)
      while (id == 0) std::this_thread::sleep_for(1ms);
  }
  ~Busy() {
    stopped_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

  // Where each may run.
  std::vector<std::set<int>> places() const {
    std::vector<std::set<int>> all;
    for (const pid_t id : ids_) {
      cpu_set_t set;
      REQUIRE(sched_getaffinity(id, sizeof set, &set) == 0);
      std::set<int>& cpus = all.emplace_back();
      for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &set)) cpus.insert(cpu);
    }
    return all;
  }

 private:
  std::atomic<bool> stopped_{false};
  std::vector<std::atomic<pid_t>> ids_;
  std::vector<std::thread> threads_;
};

bool soon(const std::function<bool()>& condition) {
  for (const auto end = std::chrono::steady_clock::now() + 30s; std::chrono::steady_clock::now() < end;) {
    if (condition()) return true;
    std::this_thread::sleep_for(20ms);
  }
  return false;
}

bool apart(const std::vector<std::set<int>>& places) {
  std::set<int> taken;
  for (const std::set<int>& cpus : places)
    if (cpus.size() == 1) taken.insert(*cpus.begin());
  return taken.size() == places.size();
}

int cpus_here() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

}  // namespace

TEST_CASE("threads that compute keep to a CPU each while other processes compete", "[core]") {
  const int cpus = cpus_here();
  if (cpus < 2 || cpus > 16) HEFT_SKIP("needs 2 to 16 CPUs");
  if (access("/proc/self/schedstat", R_OK) != 0) HEFT_SKIP("no /proc/self/schedstat");
  const Unset unset;
  const Others others(cpus);
  const Busy busy(cpus);
  const std::vector<std::set<int>> before = busy.places();
  {
    const heft::CoreSharing sharing;
    CHECK(soon([&] { return apart(busy.places()); }));
  }
  CHECK(busy.places() == before);
}

TEST_CASE("the environment's word on OpenMP's threads stands, and fewer threads than CPUs are left alone", "[core]") {
  const int cpus = cpus_here();
  if (cpus < 2 || cpus > 16) HEFT_SKIP("needs 2 to 16 CPUs");
  Unset unset;
  const bool by_environment = GENERATE(false, true);
  if (by_environment) setenv("OMP_PROC_BIND", "false", 1);
  const heft::CoreSharing sharing;
  if (by_environment) unsetenv("OMP_PROC_BIND");
  const Others others(cpus);
  const Busy busy(by_environment ? cpus : cpus - 1);
  const std::vector<std::set<int>> before = busy.places();
  for (int i = 0; i < 30; ++i) {
    std::this_thread::sleep_for(20ms);
    REQUIRE(busy.places() == before);
  }
}

#endif
