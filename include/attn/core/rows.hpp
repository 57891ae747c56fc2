/// Work on whole rows: kernels that need sums or maxima over a row before they can write it.
///
/// A kernel is a named functor with a template `operator()(row, i)`, called once for each row. `row.for_columns(n,
/// body)` calls `body(lanes, column)` over the row, in vector lanes on a host and spread over a team's threads on a
/// device; `row.sum(x)` and `row.max(x)` then combine what each lane or thread has gathered:
///
///     template <class Row>
///     ATTN_FUNCTION void operator()(Row const& row, attn::Index i) const {
///       auto total = row.value(0);
///       row.for_columns(n, [&](auto lanes, attn::Index j) { total += lanes.load(x + i * n + j); });
///       auto const mean = row.sum(total) / n;
#pragma once

#include "attn/core/elementwise.hpp"

namespace attn {

namespace detail {

/// Combines the lanes of a pack pairwise, halves first: a fixed order with a short chain of additions.
template <Real T, class Combine>
T combine_lanes(T a, Combine) {
  return a;
}
template <class T, int W, class Combine>
T combine_lanes(Pack<T, W> a, Combine combine) {
  if constexpr (W == 1) {
    return a[0];
  } else {
    Pack<T, W / 2> low, high;
    std::memcpy(&low, &a, sizeof low);
    std::memcpy(&high, reinterpret_cast<char const*>(&a) + sizeof low, sizeof high);
    return combine_lanes(combine(low, high), combine);
  }
}

}  // namespace detail

/// A row that one thread of the host works on.
template <Real T>
struct HostRow {
  using Scalar = T;
  using Value = std::conditional_t<has_packs, Pack<T>, T>;

  static Value value(T x) { return Value(x); }
  template <class Body>
  static void for_columns(Index n, Body const& body) {
    for_lanes<T>(0, n, body);
  }
  static T sum(Value x) {
    return detail::combine_lanes(x, [](auto a, auto b) { return a + b; });
  }
  static T max(Value x) {
    return detail::combine_lanes(x, [](auto a, auto b) { return attn::max(a, b); });
  }
  /// Runs `body` once for the row.
  template <class Body>
  static void once(Body const& body) {
    body();
  }
};

/// A row that a team of a device works on.
template <class T, class Team>
struct TeamRow {
  using Scalar = T;
  using Value = T;
  Team const& team;

  static ATTN_FUNCTION T value(T x) { return x; }
  template <class Body>
  ATTN_FUNCTION void for_columns(Index n, Body const& body) const {
    for (Index column = team.team_rank(); column < n; column += team.team_size()) body(OneLane<T>{}, column);
  }
  ATTN_FUNCTION T sum(T x) const {
    team.team_reduce(Kokkos::Sum<T>(x));
    return x;
  }
  ATTN_FUNCTION T max(T x) const {
    team.team_reduce(Kokkos::Max<T>(x));
    return x;
  }
  template <class Body>
  ATTN_FUNCTION void once(Body const& body) const {
    if (team.team_rank() == 0) body();
  }
};

namespace detail {

template <class T, class Exec, class Kernel>
struct TeamOfRow {
  using Member = typename Kokkos::TeamPolicy<Exec>::member_type;
  Kernel kernel;
  KOKKOS_FUNCTION void operator()(Member const& team) const {
    kernel(TeamRow<T, Member>{team}, Index(team.league_rank()));
  }
};

}  // namespace detail

/// Calls `kernel(row, i)` for 0 <= i < rows; `columns` is about how many elements of `T` a row has.
template <class T, ExecutionSpace Exec, class Kernel>
void for_rows(Exec const& exec, char const* name, Index rows, Index columns, Kernel const& kernel) {
  if (rows <= 0) return;
  if constexpr (HostExecutionSpace<Exec>) {
    Index const height = std::clamp(detail::elementwise_grain / 2 / std::max(columns, Index(1)), Index(1), rows);
    for_blocks(exec, name, (rows + height - 1) / height, [=](Index block) {
      for (Index i = block * height; i < std::min(rows, (block + 1) * height); ++i) kernel(HostRow<T>{}, i);
    });
  } else {
    int threads = 32;
    while (threads < 256 && threads < columns / 2) threads *= 2;
    Kokkos::parallel_for(name, Kokkos::TeamPolicy<Exec>(exec, static_cast<int>(rows), threads),
                         detail::TeamOfRow<T, Exec, Kernel>{kernel});
  }
}

}  // namespace attn
