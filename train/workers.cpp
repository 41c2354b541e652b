#include "train/workers.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "core/check.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "workers";
// How a line begins.
constexpr char kReport = ' ', kDataError = 'D', kWriteError = 'W', kValueError = 'V', kDeviceError = 'C', kError = 'E';

// Where nobody reads any more, the system ends this process.
void write_line(int pipe, char kind, const std::string& text) {
  std::string line = kind + text + '\n';
  for (char& c : line)
    if (c == '\n' && &c != &line.back()) c = ' ';
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t count = ::write(pipe, line.data() + done, line.size() - done);
    if (count < 0 && errno != EINTR) ::_exit(1);
    if (count > 0) done += static_cast<std::size_t>(count);
  }
}

[[noreturn]] void run(int pipe, const std::function<void(const Workers::Report&)>& work) {
  // These may go to all processes of a job; what to do about them the parent decides.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, SIG_IGN);
  std::signal(SIGPIPE, SIG_DFL);
  try {
    work([pipe](const std::string& line) { write_line(pipe, kReport, line); });
  } catch (const WriteError& error) {
    write_line(pipe, kWriteError, error.what());
  } catch (const DataError& error) {
    write_line(pipe, kDataError, error.what());
  } catch (const ValueError& error) {
    write_line(pipe, kValueError, error.what());
  } catch (const DeviceError& error) {
    write_line(pipe, kDeviceError, error.what());
  } catch (const std::exception& error) {
    write_line(pipe, kError, error.what());
  }
  ::_exit(0);  // nothing that was buffered before the fork is written twice
}

// Taken out of `unread`; empty: there is no whole one. An error is thrown.
std::optional<std::string> first_line(std::string& unread) {
  const std::size_t end = unread.find('\n');
  if (end == std::string::npos) return {};
  const char kind = unread[0];
  const std::string text = unread.substr(1, end - 1);
  unread.erase(0, end + 1);
  if (kind == kWriteError) fail<WriteError>(kOp, "{}", text);
  if (kind == kDataError) fail<DataError>(kOp, "{}", text);
  if (kind == kValueError) fail<ValueError>(kOp, "{}", text);
  if (kind == kDeviceError) fail<DeviceError>(kOp, "{}", text);
  if (kind == kError) fail<Error>(kOp, "{}", text);
  return text;
}

}  // namespace

Workers::~Workers() {
  for (const Worker& worker : workers_) {
    ::kill(worker.process, SIGKILL);
    ::close(worker.pipe);
    while (::waitpid(worker.process, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

void Workers::start(int number, const std::function<void(const Report&)>& work) {
  int ends[2];
  check<Error>(::pipe2(ends, O_CLOEXEC) == 0, kOp, "expected a pipe to a worker; {}", std::strerror(errno));
  const pid_t process = ::fork();
  if (process == 0) {
    for (const Worker& other : workers_) ::close(other.pipe);
    ::close(ends[0]);
    run(ends[1], work);
  }
  const int error = errno;
  ::close(ends[1]);
  if (process < 0) ::close(ends[0]);
  check<Error>(process > 0, kOp, "expected another process for a worker; {}", std::strerror(error));
  workers_.push_back({.number = number, .process = process, .pipe = ends[0]});
}

std::optional<Workers::Line> Workers::next(double seconds) {
  while (true) {
    for (Worker& worker : workers_)
      if (const std::optional<std::string> text = first_line(worker.unread)) return Line{worker.number, text};
    std::vector<pollfd> pipes;
    for (const Worker& worker : workers_) pipes.push_back({.fd = worker.pipe, .events = POLLIN, .revents = 0});
    if (::poll(pipes.data(), pipes.size(), static_cast<int>(1000 * seconds)) <= 0) return {};
    for (std::size_t i = 0; i < pipes.size(); ++i) {
      if (pipes[i].revents == 0) continue;
      char bytes[4096];
      const ssize_t count = ::read(pipes[i].fd, bytes, sizeof(bytes));
      if (count == 0) return finish(i);
      if (count > 0) workers_[i].unread.append(bytes, static_cast<std::size_t>(count));
    }
  }
}

Workers::Line Workers::finish(std::size_t at) {
  const Worker worker = workers_[at];
  workers_.erase(workers_.begin() + static_cast<std::ptrdiff_t>(at));
  ::close(worker.pipe);
  int status = 0;
  while (::waitpid(worker.process, &status, 0) < 0 && errno == EINTR) {
  }
  check<Error>(!WIFSIGNALED(status), kOp, "expected a worker to finish; signal {} ended it ({})", WTERMSIG(status),
               WIFSIGNALED(status) ? ::strsignal(WTERMSIG(status)) : "");
  return {worker.number, {}};
}

}  // namespace heft::train
