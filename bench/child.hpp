// A program beside ours that gets all that ours has: every processor, whatever our own threads are bound to.
#pragma once

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
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

/// What a child printed to its standard output, and how it ended: a sentence, empty if all was well.
struct ChildResult {
  std::string output;
  std::string fault;
};

/// Runs `arguments` (the program first) on all of our processors, with nothing in its environment that binds threads,
/// and ends it after `seconds`. Its standard error goes where ours goes.
inline ChildResult run_child(std::vector<std::string> const& arguments, double seconds) {
  cpu_set_t const processors = own_processors();
  std::vector<char*> argv;
  for (std::string const& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  int ends[2];
  if (::pipe(ends) != 0) return {"", std::string("no pipe: ") + std::strerror(errno)};
  std::fflush(stdout);
  pid_t const child = ::fork();
  if (child < 0) return {"", std::string("no process: ") + std::strerror(errno)};
  if (child == 0) {
    ::sched_setaffinity(0, sizeof processors, &processors);
    for (char const* name : {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"}) ::unsetenv(name);
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    ::execvp(argv[0], argv.data());
    std::fprintf(stderr, "%s: %s\n", argv[0], std::strerror(errno));
    ::_exit(127);
  }
  ::close(ends[1]);
  ChildResult result;
  using Clock = std::chrono::steady_clock;
  auto const deadline =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  char buffer[4096];
  for (;;) {
    auto const left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waiting{.fd = ends[0], .events = POLLIN, .revents = 0};
    if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) == 0) {
      ::kill(child, SIGKILL);
      result.fault = "it took longer than " + std::to_string(static_cast<long>(seconds)) + " s";
      break;
    }
    ssize_t const n = ::read(ends[0], buffer, sizeof buffer);
    if (n <= 0) break;
    result.output.append(buffer, static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (result.fault.empty() && WIFEXITED(status) && WEXITSTATUS(status) == 127) {
    result.fault = "there is no program '" + arguments.front() + "'";
  } else if (result.fault.empty() && status != 0) {
    result.fault = WIFEXITED(status) ? "it ended with status " + std::to_string(WEXITSTATUS(status))
                                     : "it was ended by signal " + std::to_string(WTERMSIG(status));
  }
  return result;
}

}  // namespace bench
