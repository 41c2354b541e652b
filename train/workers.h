// Workers: child processes of this one that report in lines of text. Each has the memory of this process as it was at its
// start, and whatever it changes (random numbers, threads, a crash) stays with it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace heft::train {

class Workers {
 public:
  struct Line {
    int worker = 0;
    std::optional<std::string> text = {};  // unset: it has finished its work
  };
  using Report = std::function<void(const std::string& line)>;

  Workers() = default;
  // Kills those that are still at work. They end, too, at their next report after this process is killed.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // Starts a worker, and calls it `number`. Its work must not use more than one thread where this process has used several:
  // OpenMP's do not outlive a fork. Throws Error where the system has no room for it.
  void start(int number, const std::function<void(const Report& report)>& work);
  // Waits until a worker has something to say, while `seconds` pass in silence; empty: none had. What a worker threw is thrown
  // here, as the DataError, ValueError, DeviceError or else Error that it was; so is an Error where one was ended from outside.
  std::optional<Line> next(double seconds);

 private:
  struct Worker {
    int number;
    pid_t process;
    int pipe;
    std::string unread = {};
  };
  Line finish(std::size_t at);

  std::vector<Worker> workers_;
};

}  // namespace heft::train
