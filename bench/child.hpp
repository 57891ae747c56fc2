// A program beside ours that gets all that ours has: every processor, whatever our own threads are bound to.
#pragma once

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace bench {

/// The processors that some thread of this process may run on. With OMP_PROC_BIND the main thread has one of them only,
/// and a child process would inherit that one.
inline cpu_set_t own_processors() {
  cpu_set_t all;
  CPU_ZERO(&all);
  if (DIR* const tasks = ::opendir("/proc/self/task")) {
    while (dirent const* const task = ::readdir(tasks)) {
      cpu_set_t set;
      int const id = std::atoi(task->d_name);
      if (id > 0 && ::sched_getaffinity(id, sizeof set, &set) == 0) CPU_OR(&all, &all, &set);
    }
    ::closedir(tasks);
  }
  return all;
}

/// A child process that one talks with line by line, on all of our processors and with nothing in its environment that
/// binds threads. Its standard error goes where ours goes. It is ended with the object.
class Child {
 public:
  /// `arguments`: the program first.
  explicit Child(std::vector<std::string> const& arguments) : program_(arguments.front()) {
    cpu_set_t const processors = own_processors();
    std::vector<char*> argv;
    for (std::string const& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      fault_ = std::string("no way to talk with a process: ") + std::strerror(errno);
      return;
    }
    std::fflush(stdout);
    process_ = ::fork();
    if (process_ == 0) {
      ::sched_setaffinity(0, sizeof processors, &processors);
      for (char const* name : {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"}) ::unsetenv(name);
      ::dup2(ends[1], STDIN_FILENO);
      ::dup2(ends[1], STDOUT_FILENO);
      ::execvp(argv[0], argv.data());
      std::fprintf(stderr, "%s: %s\n", argv[0], std::strerror(errno));
      ::_exit(127);
    }
    if (process_ < 0) fault_ = std::string("no process: ") + std::strerror(errno);
    ::close(ends[1]);
    end_ = ends[0];
  }
  ~Child() {
    if (process_ > 0) ::kill(process_, SIGKILL);
    wait();
    if (end_ >= 0) ::close(end_);
  }
  Child(Child const&) = delete;
  Child& operator=(Child const&) = delete;

  /// How it ended, or what else is wrong: a sentence, empty while all is well.
  std::string const& fault() const { return fault_; }

  /// A line for its standard input.
  void write(std::string const& line) {
    std::string const text = line + "\n";
    for (std::size_t sent = 0; process_ > 0 && sent < text.size();) {
      ssize_t const n = ::send(end_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (n > 0) {
        sent += static_cast<std::size_t>(n);
      } else if (errno != EINTR) {
        wait();
      }
    }
  }

  /// The next line that it prints; none where it ended, or printed none within `seconds`: then it is ended.
  std::optional<std::string> read(double seconds) {
    using Clock = std::chrono::steady_clock;
    auto const deadline =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    for (;;) {
      if (auto const length = unread_.find('\n'); length != std::string::npos) {
        std::string const line = unread_.substr(0, length);
        unread_.erase(0, length + 1);
        return line;
      }
      if (process_ <= 0) return std::nullopt;
      auto const left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
      pollfd waiting{.fd = end_, .events = POLLIN, .revents = 0};
      if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) == 0) {
        ::kill(process_, SIGKILL);
        wait();
        fault_ = "it took longer than " + std::to_string(static_cast<long>(seconds)) + " s";
        return std::nullopt;
      }
      char buffer[4096];
      ssize_t const n = ::read(end_, buffer, sizeof buffer);
      if (n > 0) {
        unread_.append(buffer, static_cast<std::size_t>(n));
      } else if (n == 0 || errno != EINTR) {
        wait();
      }
    }
  }

 private:
  /// Until it has ended.
  void wait() {
    if (process_ <= 0) return;
    int status = 0;
    ::waitpid(process_, &status, 0);
    process_ = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
      fault_ = "there is no program '" + program_ + "'";
    } else if (status != 0) {
      fault_ = WIFEXITED(status) ? "it ended with status " + std::to_string(WEXITSTATUS(status))
                                 : "it was ended by signal " + std::to_string(WTERMSIG(status));
    }
  }

  std::string program_, fault_, unread_;
  pid_t process_ = 0;
  int end_ = -1;
};

/// What a child printed to its standard output, line by line, and how it ended: a sentence, empty if all was well.
struct ChildResult {
  std::vector<std::string> lines;
  std::string fault;
};

/// Runs `arguments` to its end, and ends it where it prints nothing for `seconds`.
inline ChildResult run_child(std::vector<std::string> const& arguments, double seconds) {
  Child child(arguments);
  ChildResult result;
  while (auto line = child.read(seconds)) result.lines.push_back(std::move(*line));
  result.fault = child.fault();
  return result;
}

}  // namespace bench
