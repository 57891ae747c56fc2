// What a busy machine does to small models: the seconds that a program takes alone, and beside one process that never
// waits, by how the threads of OpenMP wait.
//
//   busy_neighbour PROGRAM [ARGUMENTS ...]
//
// For example `busy_neighbour build/examples/04_own_pde`. "limited" is what attn::io::limit_spinning sets and what
// examples and trainers do by themselves; "spinning" is what OpenMP does otherwise. After two minutes a run is ended.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "child.hpp"
#include "peak.hpp"

namespace {

struct Way {
  char const* name;
  char const* variable;
  char const* value;
};

/// A process that computes until it is ended.
class Neighbour {
 public:
  Neighbour() : child_(::fork()) {
    if (child_ != 0) return;
    while (::getppid() != 1) continue;  // until the benchmark is gone
    ::_exit(0);
  }
  Neighbour(Neighbour const&) = delete;
  ~Neighbour() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

 private:
  pid_t child_;
};

void measure(std::vector<std::string> const& program, char const* surroundings) {
  for (Way const way : {Way{"limited", "GOMP_SPINCOUNT", "1000"}, Way{"passive", "OMP_WAIT_POLICY", "passive"},
                        Way{"spinning", "GOMP_SPINCOUNT", "300000"}}) {
    ::unsetenv("GOMP_SPINCOUNT");
    ::unsetenv("OMP_WAIT_POLICY");
    ::setenv(way.variable, way.value, 1);
    auto const begin = std::chrono::steady_clock::now();
    auto const result = bench::run_child(program, 120);
    std::printf("%-20s %-10s %8.2f s %s\n", surroundings, way.name, bench::seconds_since(begin), result.fault.c_str());
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "busy_neighbour PROGRAM [ARGUMENTS ...]\n");
    return 2;
  }
  std::vector<std::string> const program(argv + 1, argv + argc);
  measure(program, "alone");
  Neighbour const neighbour;
  measure(program, "beside a neighbour");
  return 0;
}
