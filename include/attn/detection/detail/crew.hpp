/// A crew works on one list together: one thread of a host, or a team of a device. Lists are chosen from and sorted
/// here.
#pragma once

#include "attn/core/elementwise.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>

namespace attn::detection::detail {

/// A key by which lists are sorted: larger numbers have larger keys, of equal ones the first has. NaN is the least.
ATTN_FUNCTION std::uint64_t key_of(float number, Index i) {
  std::uint32_t const bits = Kokkos::bit_cast<std::uint32_t>(number);
  std::uint32_t const ordered = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return std::uint64_t(number == number ? ordered : 0u) << 32 | (0xffffffffu - std::uint32_t(i));
}
/// The place in the list that a key was made for.
ATTN_FUNCTION Index place_of(std::uint64_t key) { return Index(0xffffffffu - std::uint32_t(key)); }

/// One thread of a host.
struct HostCrew {
  /// body(i) for 0 <= i < n, in any order.
  template <class Body>
  void each(Index n, Body const& body) const {
    for (Index i = 0; i < n; ++i) body(i);
  }
  /// body(lanes, i) for vectors of floats that cover 0 <= i < n (core/elementwise.hpp).
  template <class Body>
  void lanes(Index n, Body const& body) const {
    for_lanes<float>(0, n, body);
  }
  /// Waits until all have come here: what they wrote can be read.
  void wait() const {}
  /// take(i, place) for each i that is wanted, with places 0, 1, ... in the order of i; returns how many. What take
  /// writes is not what it, or another call of it, reads.
  template <class Wanted, class Take>
  Index select(Index n, Wanted const& wanted, Take const& take) const {
    Index count = 0;
    for (Index i = 0; i < n; ++i) {
      if (wanted(i)) take(i, count++);
    }
    return count;
  }
  /// sorted (k) = the k largest of n different keys, the largest first; k <= n. The keys are spoiled.
  void largest(std::uint64_t* keys, Index n, Index k, std::uint64_t* sorted) const {
    if (k < n) std::nth_element(keys, keys + k, keys + n, std::greater<>());
    std::sort(keys, keys + k, std::greater<>());
    std::copy(keys, keys + k, sorted);
  }
};

/// A team of threads.
template <class Team>
struct TeamCrew {
  Team const& team;

  template <class Body>
  ATTN_FUNCTION void each(Index n, Body const& body) const {
    for (Index i = team.team_rank(); i < n; i += team.team_size()) body(i);
  }
  template <class Body>
  ATTN_FUNCTION void lanes(Index n, Body const& body) const {
    each(n, [&](Index i) { body(OneLane<float>{}, i); });
  }
  ATTN_FUNCTION void wait() const { team.team_barrier(); }
  template <class Wanted, class Take>
  ATTN_FUNCTION Index select(Index n, Wanted const& wanted, Take const& take) const {
    Index count = 0;
    for (Index first = 0; first < n; first += team.team_size()) {
      Index const i = first + team.team_rank();
      Index const one = i < n && wanted(i) ? 1 : 0;
      Index const before = team.team_scan(one);
      if (one != 0) take(i, count + before);
      Index all = one;
      team.team_reduce(Kokkos::Sum<Index>(all));
      count += all;
    }
    team.team_barrier();
    return count;
  }
  /// Finds the k-th largest key bit by bit, then the rank of each key from there on by comparing it with the others.
  ATTN_FUNCTION void largest(std::uint64_t* keys, Index n, Index k, std::uint64_t* sorted) const {
    std::uint64_t least = 0;
    for (int bit = 63; bit >= 0 && k < n; --bit) {
      std::uint64_t const candidate = least | std::uint64_t(1) << bit;
      Index above = 0;
      each(n, [&](Index i) { above += keys[i] >= candidate ? 1 : 0; });
      team.team_reduce(Kokkos::Sum<Index>(above));
      if (above >= k) least = candidate;
    }
    select(
        n, [&](Index i) { return keys[i] >= least; }, [&](Index i, Index place) { sorted[place] = keys[i]; });
    each(k, [&](Index i) {
      Index rank = 0;
      for (Index j = 0; j < k; ++j) rank += sorted[j] > sorted[i] ? 1 : 0;
      keys[rank] = sorted[i];
    });
    team.team_barrier();
    each(k, [&](Index i) { sorted[i] = keys[i]; });
    team.team_barrier();
  }
};

template <class Exec, class Kernel>
struct CrewOfTeam {
  using Member = typename Kokkos::TeamPolicy<Exec>::member_type;
  Kernel kernel;
  KOKKOS_FUNCTION void operator()(Member const& team) const {
    kernel(TeamCrew<Member>{team}, Index(team.league_rank()));
  }
};

/// kernel(crew, i) for each of n lists.
template <ExecutionSpace Exec, class Kernel>
void for_crews(Exec const& exec, char const* name, Index n, Kernel const& kernel) {
  if (n <= 0) return;
  if constexpr (HostExecutionSpace<Exec>) {
    for_blocks(exec, name, n, [=](Index i) { kernel(HostCrew{}, i); });
  } else {
    attn::launch(name, Kokkos::TeamPolicy<Exec>(exec, static_cast<int>(n), 256), CrewOfTeam<Exec, Kernel>{kernel});
  }
}

}  // namespace attn::detection::detail
