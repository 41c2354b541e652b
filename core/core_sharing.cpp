#include "core/core_sharing.h"

#ifdef __linux__

#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace heft {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPeriod = std::chrono::milliseconds(100);
constexpr double kBusy = 0.8;     // a thread that wants a CPU for so much of the time computes, or spins
constexpr double kCrowded = 0.2;  // so much waiting, all threads together, over the time: others compete
constexpr double kAlone = 0.05;   // so little, and they have gone
constexpr int kPeriodsAlone = 10;

// Seconds since a thread began.
struct Use {
  double running = 0, waiting = 0;
};

std::map<pid_t, Use> uses_of_threads() {
  std::map<pid_t, Use> uses;
  std::error_code none;  // a thread may end meanwhile, and /proc may not be there
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", none)) {
    std::ifstream file(entry.path() / "schedstat");
    double running = 0, waiting = 0;
    if (file >> running >> waiting) uses[std::stoi(entry.path().filename())] = {running * 1e-9, waiting * 1e-9};
  }
  return uses;
}

std::vector<int> cpus_in(const cpu_set_t& set) {
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

bool environment_decides() {
  constexpr std::array names = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"};
  return std::any_of(names.begin(), names.end(), [](const char* name) { return std::getenv(name) != nullptr; });
}

}  // namespace

class CoreSharing::Watch {
 public:
  Watch() {
    if (sched_getaffinity(0, sizeof anywhere_, &anywhere_) != 0) return;
    cpus_ = cpus_in(anywhere_);
    if (cpus_.size() < 2) return;
    // Signals are for the program's own threads: this one takes none.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { look_until_stopped(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  ~Watch() {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

 private:
  void look_until_stopped() {
    std::map<pid_t, Use> before = uses_of_threads();
    auto then = Clock::now();
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, kPeriod, [this] { return stopped_; })) {
      const std::map<pid_t, Use> uses = uses_of_threads();
      const auto now = Clock::now();
      const double seconds = std::chrono::duration<double>(now - then).count();
      double waited = 0;
      std::vector<pid_t> busy;
      for (const auto& [thread, use] : uses) {
        const Use& last = before[thread];
        const double waiting = (use.waiting - last.waiting) / seconds, running = (use.running - last.running) / seconds;
        waited += waiting;
        if (running + waiting > kBusy) busy.push_back(thread);
      }
      judge(uses, busy, waited);
      before = uses;
      then = now;
    }
    if (bound_.empty()) return;
    bound_.clear();
    release(uses_of_threads());
  }

  void judge(const std::map<pid_t, Use>& threads, const std::vector<pid_t>& busy, double waited) {
    if (bound_.empty()) {
      if (waited > kCrowded && busy.size() == cpus_.size()) bind(busy);
      return;
    }
    alone_ = waited < kAlone ? alone_ + 1 : 0;
    if (alone_ >= kPeriodsAlone) bound_.clear();
    // What a bound thread has started meanwhile has inherited its one CPU.
    release(threads);
  }

  void bind(const std::vector<pid_t>& busy) {
    bound_ = busy;
    alone_ = 0;
    for (std::size_t i = 0; i < busy.size(); ++i) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpus_[i], &one);
      sched_setaffinity(busy[i], sizeof one, &one);  // a thread that has ended needs none
    }
  }

  // All that are not bound.
  void release(const std::map<pid_t, Use>& threads) {
    for (const auto& [thread, use] : threads)
      if (std::find(bound_.begin(), bound_.end(), thread) == bound_.end())
        sched_setaffinity(thread, sizeof anywhere_, &anywhere_);
  }

  cpu_set_t anywhere_{};
  std::vector<int> cpus_;
  std::vector<pid_t> bound_;
  int alone_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopped_ = false;
  std::thread thread_;
};

CoreSharing::CoreSharing() : watch_(environment_decides() ? nullptr : std::make_unique<Watch>()) {}

}  // namespace heft

#else

namespace heft {

class CoreSharing::Watch {};
CoreSharing::CoreSharing() = default;

}  // namespace heft

#endif

heft::CoreSharing::~CoreSharing() = default;
