// Loops with and without a race. `probe NAME` runs one; the sanitizer ends the process where it sees a race.
#include "attn/attention/detail/host/parallel.hpp"
#include "attn/core/pack_type.hpp"

#include <Kokkos_Core.hpp>

#include <cstdio>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using Space = Kokkos::DefaultHostExecutionSpace;
using Pack = attn::Pack<float, 16>;

/// Every index adds to one number, without an atomic.
int sum_of_all() {
  long sum = 0;
  Kokkos::parallel_for("sum", Kokkos::RangePolicy<Space>(0, 1000), [&](int i) { sum += i; });
  return sum > 0;
}

/// Neighbours write packs that overlap, as kernels would that got their tiles' bounds wrong.
int overlapping_packs() {
  std::vector<float> numbers(1000 * 16 + 16);
  auto* const data = numbers.data();
  attn::detail::host::share("packs", Space(), 1000, 1, [=](attn::Index first, attn::Index last, int) {
    for (attn::Index i = first; i < last; ++i) {
      Pack p;
      for (int lane = 0; lane < 16; ++lane) p.lanes[lane] = float(i);
      p.store(data + 16 * i + 1), p.store(data + 16 * i);
      if (i > 0) p.store(data + 16 * i - 1);
    }
  });
  return numbers[0] >= 0;
}

/// A thread that is joined only after what it writes is read.
int early_reader() {
  int value = 0;
  std::thread writer([&] { value = 1; });
  int const seen = value;
  writer.join();
  return seen + 1;
}

/// Loop after loop, each reads what others wrote in the loop before: right, if the runtime's barriers are seen.
int loops_in_turn() {
  int const n = 1000;
  Kokkos::View<double*, Space> a("a", n), b("b", n);
  for (int turn = 0; turn < 20; ++turn) {
    Kokkos::parallel_for("forward", Kokkos::RangePolicy<Space>(0, n), [=](int i) { b(i) = a(n - 1 - i) + 1; });
    Kokkos::parallel_for("back", Kokkos::RangePolicy<Space>(0, n), [=](int i) { a(i) = b(n - 1 - i); });
  }
  double sum = 0;
  Kokkos::parallel_reduce(
      "sum", Kokkos::RangePolicy<Space>(0, n), [=](int i, double& s) { s += a(i); }, sum);
  using Teams = Kokkos::TeamPolicy<Space>;
  Kokkos::parallel_for("teams", Teams(8, Kokkos::AUTO), [=](Teams::member_type const& team) {
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, 100), [&](int i) { a(100 * team.league_rank() + i) = 1; });
    team.team_barrier();
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, 100),
                         [&](int i) { b(100 * team.league_rank() + i) = a(100 * team.league_rank() + 99 - i); });
  });
  return sum == 20.0 * n;
}

}  // namespace

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const kokkos(argc, argv);
  std::string_view const name = argc > 1 ? argv[1] : "";
  bool ok = false;
  if (name == "sum_of_all") ok = sum_of_all();
  if (name == "overlapping_packs") ok = overlapping_packs();
  if (name == "early_reader") ok = early_reader();
  if (name == "loops_in_turn") ok = loops_in_turn();
  std::puts(ok ? "done" : "wrong");
  return ok ? 0 : 1;
}
