// Where the time of a program goes: kernels and regions of Kokkos by name, each without what it calls.
#pragma once

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/// Listens to Kokkos while one lives. Kernels of hosts end before their call returns, so their times are their own.
class Profile {
 public:
  Profile() : before_(Kokkos::Tools::Experimental::get_callbacks()) {
    namespace tools = Kokkos::Tools::Experimental;
    state() = {};
    state().open.push_back({"everything else", Clock::now(), 0});
    tools::set_begin_parallel_for_callback(begin_kernel);
    tools::set_end_parallel_for_callback(end_kernel);
    tools::set_begin_parallel_reduce_callback(begin_kernel);
    tools::set_end_parallel_reduce_callback(end_kernel);
    tools::set_push_region_callback(push);
    tools::set_pop_region_callback(pop);
  }
  ~Profile() { Kokkos::Tools::Experimental::set_callbacks(before_); }
  Profile(Profile const&) = delete;
  Profile& operator=(Profile const&) = delete;

  /// Prints each name's share, its milliseconds and its calls a step; those below `least` of all are added up.
  void print(std::string const& title, double steps, double least = 0.002) {
    pop();
    std::vector<std::pair<double, std::string>> rows;
    double all = 0;
    for (auto const& [name, total] : state().totals) {
      rows.emplace_back(total.seconds, name);
      all += total.seconds;
    }
    std::sort(rows.rbegin(), rows.rend());
    std::printf("%s: %.1f ms a step\n", title.c_str(), all / steps * 1e3);
    double rest = 0;
    for (auto const& [seconds, name] : rows) {
      if (seconds < least * all) {
        rest += seconds;
        continue;
      }
      std::printf("  %5.1f %% %9.3f ms %7.0f calls  %s\n", 100 * seconds / all, seconds / steps * 1e3,
                  static_cast<double>(state().totals[name].calls) / steps, name.c_str());
    }
    std::printf("  %5.1f %% %9.3f ms                the rest\n", 100 * rest / all, rest / steps * 1e3);
    std::fflush(stdout);
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Open {
    std::string name;
    Clock::time_point start;
    double inside;  // seconds of what it called
  };
  struct Total {
    double seconds = 0;
    std::uint64_t calls = 0;
  };
  struct State {
    std::vector<Open> open;
    std::map<std::string, Total> totals;
  };
  static State& state() {
    static State all;
    return all;
  }

  static void push(char const* name) { state().open.push_back({name, Clock::now(), 0}); }
  static void pop() {
    State& s = state();
    if (s.open.empty()) return;
    Open const last = s.open.back();
    s.open.pop_back();
    double const seconds = std::chrono::duration<double>(Clock::now() - last.start).count();
    Total& total = s.totals[last.name];
    total.seconds += seconds - last.inside;
    ++total.calls;
    if (!s.open.empty()) s.open.back().inside += seconds;
  }
  static void begin_kernel(char const* name, std::uint32_t, std::uint64_t*) { push(name); }
  static void end_kernel(std::uint64_t) { pop(); }

  Kokkos::Tools::Experimental::EventSet before_;
};

}  // namespace bench
