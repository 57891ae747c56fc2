// What programs that time training steps of models by name share: flags, figures, the peer, the profile.
#pragma once

#include "attn/io/options.hpp"

#include <string>

#include "peak.hpp"
#include "peers.hpp"
#include "profile.hpp"

namespace bench {

struct TimedSteps {
  double seconds = 10;
  bool profile = false;
};

inline void describe(attn::io::SettingList& list, TimedSteps& t) {
  list("seconds", t.seconds, {.help = "That our steps are timed for, at least", .range = {0, 3600}});
  list("profile", t.profile, {.help = "Print where our time goes"});
}

/// Times `step`, of so many images, whose memory was taken; prints that and `more`; then the peer's turns, by the name
/// of the case.
template <class Step>
void time_steps(TimedSteps const& t, std::string const& name, attn::Index images, Step const& step, Peers& peers,
                std::string const& more = {}) {
  double const seconds = turn(by_clock(step), t.seconds);
  std::printf("%-44s %10.1f ms %8.2f images/s%s\n", name.c_str(), seconds * 1e3, double(images) / seconds,
              more.c_str());
  std::fflush(stdout);
  peers.compare(name, by_clock(step));
  if (!t.profile) return;
  constexpr int steps = 3;
  Profile profile;
  for (int i = 0; i < steps; ++i) step();
  profile.print(name, steps);
}

/// main() of such a program, which `run`s what its arguments say: those of a struct with `describe`.
template <class Arguments, class Run>
int step_program(int argc, char** argv, Peers& peers, char const* name, char const* title, Run const& run) {
  Arguments a;
  attn::io::SettingList settings;
  describe(settings, a);
  CLI::App app(title, name);
  attn::io::add_options(app, settings);
  CLI11_PARSE(app, argc, argv);
  Kokkos::ScopeGuard const kokkos;
  peers.use({"--threads", std::to_string(Exec().concurrency())});
  std::printf("%s, commit %s, %d threads; the same number for PyTorch\n", attn::io::describe_machine().c_str(),
              built_from_commit, Exec().concurrency());
  run(a);
  peers.print();
  return 0;
}

}  // namespace bench
