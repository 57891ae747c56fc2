/// Running the gnuplot program: a script in, its drawing and its complaints out; never a signal or a shell.
#pragma once

#include "attn/core/check.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

extern "C" char** environ;

namespace attn::io::detail {

using TemporaryFile = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

inline TemporaryFile temporary_file() {
  TemporaryFile file(std::tmpfile(), &std::fclose);
  ATTN_CHECK(file != nullptr, "save_figure: cannot make a temporary file: ", std::generic_category().message(errno));
  return file;
}

/// Outcome of a run of a program.
struct ProgramExit {
  bool found = false;      // whether the program exists
  int code = 0;            // exit status; -1 when a signal ended it
  std::string drawing;     // its standard output
  std::string complaints;  // the first of what it printed to its standard error
};

/// What was written to a file, at most `most` bytes of it.
inline std::string content_of(TemporaryFile const& file, std::size_t most) {
  std::rewind(file.get());
  std::string content;
  char part[4096];
  while (std::size_t const n = std::fread(part, 1, std::min(sizeof part, most - content.size()), file.get())) {
    content.append(part, n);
  }
  return content;
}

/// Runs `gnuplot` with the script as its standard input. The script goes through a file, not a pipe: a gnuplot that
/// stops early must not end the training by SIGPIPE. The drawing goes to a file without a name: a gnuplot that outlives
/// a training that was killed leaves nothing behind.
inline ProgramExit run_gnuplot(std::string_view script) {
  TemporaryFile const input = temporary_file();
  TemporaryFile const drawing = temporary_file();
  TemporaryFile const errors = temporary_file();
  bool const written = std::fwrite(script.data(), 1, script.size(), input.get()) == script.size();
  ATTN_CHECK(written && std::fflush(input.get()) == 0,
             "save_figure: cannot write a temporary file: ", std::generic_category().message(errno));
  std::rewind(input.get());

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ::fileno(input.get()), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, ::fileno(drawing.get()), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, ::fileno(errors.get()), STDERR_FILENO);
  char program[] = "gnuplot";
  char defaults[] = "--default-settings";  // a user's ~/.gnuplot does not change our figures
  char* const arguments[] = {program, defaults, nullptr};
  ::pid_t child = 0;
  int const error = ::posix_spawnp(&child, program, &actions, nullptr, arguments, environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) return {};
  ATTN_CHECK(error == 0, "save_figure: cannot start gnuplot: ", std::generic_category().message(error));

  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return {true, WIFEXITED(status) ? WEXITSTATUS(status) : -1, content_of(drawing, std::string().max_size()),
          content_of(errors, 2048)};
}

}  // namespace attn::io::detail
