/// Work on whole rows: kernels that need sums or maxima over a row before they can write it.
///
/// A kernel is a named functor with a template `operator()(row, i)`, called once for each row. `row.sums(n, body)` adds
/// up what `body(lanes, column)` returns over the columns, one value or a `Kokkos::Array` of several, in vector lanes
/// on a host and spread over a team's threads on a device, 16 bytes each; `row.maxima` takes the largest, or NaN.
/// `row.for_columns` only calls:
///
///     template <class Row>
///     ATTN_FUNCTION void operator()(Row const& row, attn::Index i) const {
///       T const mean = row.sums(n, [&](auto lanes, attn::Index j) { return lanes.load(x + i * n + j); }) / T(n);
///       auto const centre = row.value(mean);
///       row.for_columns(n, [&](auto lanes, attn::Index j) {
///         lanes.store(y + i * n + j, lanes.load(x + i * n + j) - centre);
///       });
#pragma once

#include "attn/core/elementwise.hpp"

namespace attn {

namespace detail {

struct Add {
  template <class T>
  ATTN_FUNCTION T operator()(T const& a, T const& b) const {
    return a + b;
  }
};
struct Larger {
  template <class T>
  ATTN_FUNCTION T operator()(T const& a, T const& b) const {
    return attn::max(a, b);
  }
};

/// The largest of what the threads of a team have; unlike Kokkos::Max it keeps a NaN.
template <class T>
struct LargestOfTeam {
  using reducer = LargestOfTeam;
  using value_type = T;
  using result_view_type = Kokkos::View<T, Kokkos::AnonymousSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
  T* value;

  ATTN_FUNCTION explicit LargestOfTeam(T& x) : value(&x) {}
  ATTN_FUNCTION void join(T& to, T const& from) const { to = attn::max(to, from); }
  ATTN_FUNCTION void init(T& x) const { x = attn::lowest<T>; }
  ATTN_FUNCTION T& reference() const { return *value; }
  ATTN_FUNCTION result_view_type view() const { return result_view_type(value); }
  ATTN_FUNCTION bool references_scalar() const { return true; }
};

/// What a body returns: one value, or several.
template <class Terms>
struct TermsOf {
  static constexpr int count = 1;
  static ATTN_FUNCTION Terms const& get(Terms const& terms, int) { return terms; }
  template <class T>
  static ATTN_FUNCTION T result(T const* totals) {
    return totals[0];
  }
};
template <class Value, std::size_t N>
struct TermsOf<Kokkos::Array<Value, N>> {
  static constexpr int count = int(N);
  static ATTN_FUNCTION Value const& get(Kokkos::Array<Value, N> const& terms, int k) { return terms[std::size_t(k)]; }
  template <class T>
  static ATTN_FUNCTION Kokkos::Array<T, N> result(T const* totals) {
    Kokkos::Array<T, N> array{};
    for (std::size_t k = 0; k < N; ++k) array[k] = totals[k];
    return array;
  }
};

/// Combines the lanes of a pack pairwise, halves first: a fixed order with a short chain of operations.
template <Real T, class Combine>
T combine_lanes(T a, Combine) {
  return a;
}
template <class T, int W, class Combine>
T combine_lanes(Pack<T, W> a, Combine combine) {
  if constexpr (W * sizeof(T) <= 16) {  // below a register there are no halves
    for (int n = W / 2; n > 0; n /= 2) {
      Pack<T, W> other = a;
      for (int l = 0; l < n; ++l) other.lanes[l] = a[l + n];
      a = combine(a, other);
    }
    return a[0];
  } else {
    static_assert(W == 16 || W == 8 || W == 4);
    using Half = Pack<T, W / 2>;
    auto const halves = [&]() -> Kokkos::Array<Half, 2> {
      auto const v = a.lanes;
      if constexpr (W == 16) {  // lists, because nvcc expands no parameter pack here
        return {Half(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7)),
                Half(__builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15))};
      } else if constexpr (W == 8) {
        return {Half(__builtin_shufflevector(v, v, 0, 1, 2, 3)), Half(__builtin_shufflevector(v, v, 4, 5, 6, 7))};
      } else {
        return {Half(__builtin_shufflevector(v, v, 0, 1)), Half(__builtin_shufflevector(v, v, 2, 3))};
      }
    }();
    return combine_lanes(combine(halves[0], halves[1]), combine);
  }
}

/// The same on a device: of one number, and of several.
template <Real T, class Combine>
ATTN_FUNCTION T combine_neighbours(T a, Combine const&) {
  return a;
}
template <class T, int W, class Combine>
ATTN_FUNCTION T combine_neighbours(Several<T, W> const& a, Combine const& combine) {
  if constexpr (W == 1) {
    return a[0];
  } else {
    return combine_neighbours(Several<T, W / 2>::of([&](int l) { return combine(a[l], a[l + W / 2]); }), combine);
  }
}

}  // namespace detail

/// A row that one thread of the host works on.
template <Real T>
class HostRow {
 public:
  using Scalar = T;
  using Value = typename HostLanes<T>::Value;

  static Value value(T x) { return Value(x); }
  template <class Body>
  static void for_columns(Index n, Body const& body) {
    for_lanes<T>(0, n, body);
  }
  template <class Body>
  static auto sums(Index n, Body const& body) {
    return reduce(n, T(0), detail::Add{}, body);
  }
  template <class Body>
  static auto maxima(Index n, Body const& body) {
    return reduce(n, attn::lowest<T>, detail::Larger{}, body);
  }
  /// Runs `body` once for the row.
  template <class Body>
  static void once(Body const& body) {
    body();
  }

 private:
  /// Several totals take turns, so that an addition need not wait for the one before. They are local and nobody takes
  /// their address: what a lambda captures is written back to memory at every step by g++ 12.
  template <class Combine, class Body>
  static auto reduce(Index n, T identity, Combine const& combine, Body const& body) {
    using Lanes = HostLanes<T>;
    using Terms = detail::TermsOf<decltype(body(Lanes{}, Index(0)))>;
    constexpr int count = Terms::count, turns = count >= 4 ? 1 : 4 / count;
    constexpr Index width = Index(sizeof(Value) / sizeof(T));
    Value totals[turns][count];
    for (auto& of_turn : totals) {
      for (Value& total : of_turn) total = Value(identity);
    }
    Index i = 0;
    for (; i + turns * width <= n; i += turns * width) {
#pragma GCC unroll 4
      for (int t = 0; t < turns; ++t) {
        auto const terms = body(Lanes{}, i + t * width);
#pragma GCC unroll 4
        for (int k = 0; k < count; ++k) totals[t][k] = combine(totals[t][k], Terms::get(terms, k));
      }
    }
#pragma GCC unroll 4
    for (int t = 0; t < turns; ++t) {
      if (i + width > n) break;
      auto const terms = body(Lanes{}, i);
#pragma GCC unroll 4
      for (int k = 0; k < count; ++k) totals[t][k] = combine(totals[t][k], Terms::get(terms, k));
      i += width;
    }
    if constexpr (has_packs) {
      if (i < n) {
        FirstLanes<T> const lanes{static_cast<int>(n - i)};
        auto const terms = body(lanes, i);
#pragma GCC unroll 4
        for (int k = 0; k < count; ++k) {
          totals[turns - 1][k] = combine(totals[turns - 1][k], lanes.select(Terms::get(terms, k), Value(identity)));
        }
      }
    }
    T results[count];
    for (int k = 0; k < count; ++k) {
      Value total = totals[0][k];
      for (int t = 1; t < turns; ++t) total = combine(total, totals[t][k]);
      results[k] = detail::combine_lanes(total, combine);
    }
    return Terms::result(results);
  }
};

/// A row of numbers stored as `T` that a team of a device works on.
template <class T, class Team>
struct TeamRow {
  using Scalar = AccumulatorOf<T>;
  using Lanes = decltype(device_lanes<T>(1));
  using Value = typename Lanes::Value;
  Team const& team;

  static ATTN_FUNCTION Value value(Scalar x) { return Value(x); }
  template <class Body>
  ATTN_FUNCTION void for_columns(Index n, Body const& body) const {
    constexpr Index width = device_width<T>;
    for (Index column = team.team_rank() * width; column < n; column += team.team_size() * width) {
      body(device_lanes<T>(n - column), column);
    }
  }
  template <class Body>
  ATTN_FUNCTION auto sums(Index n, Body const& body) const {
    return reduce<Kokkos::Sum<Scalar>>(n, Scalar(0), detail::Add{}, body);
  }
  template <class Body>
  ATTN_FUNCTION auto maxima(Index n, Body const& body) const {
    return reduce<detail::LargestOfTeam<Scalar>>(n, attn::lowest<Scalar>, detail::Larger{}, body);
  }
  template <class Body>
  ATTN_FUNCTION void once(Body const& body) const {
    if (team.team_rank() == 0) body();
  }

 private:
  template <class Reducer, class Combine, class Body>
  ATTN_FUNCTION auto reduce(Index n, Scalar identity, Combine const& combine, Body const& body) const {
    using Terms = detail::TermsOf<decltype(body(device_lanes<T>(1), Index(0)))>;
    Value totals[Terms::count];
    for (Value& total : totals) total = Value(identity);
    for_columns(n, [&](auto lanes, Index column) {
      auto const terms = body(lanes, column);
      for (int k = 0; k < Terms::count; ++k) {
        totals[k] = combine(totals[k], lanes.select(Terms::get(terms, k), Value(identity)));
      }
    });
    Scalar results[Terms::count];
    for (int k = 0; k < Terms::count; ++k) {
      results[k] = detail::combine_neighbours(totals[k], combine);
      team.team_reduce(Reducer(results[k]));
    }
    return Terms::result(results);
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

/// Calls `kernel(row, i)` for 0 <= i < rows; `columns` is about how many elements of `T` a row has. A row computes in
/// `float` where those are numbers of two bytes.
template <class T, ExecutionSpace Exec, class Kernel>
void for_rows(Exec const& exec, char const* name, Index rows, Index columns, Kernel const& kernel) {
  if (rows <= 0) return;
  if constexpr (HostExecutionSpace<Exec>) {
    using Lane = AccumulatorOf<T>;
    Index const grain = detail::elementwise_grain(exec, rows * columns) / 2;
    Index const height = std::clamp(grain / std::max(columns, Index(1)), Index(1), rows);
    for_blocks(exec, name, (rows + height - 1) / height, [=](Index block) {
      for (Index i = block * height; i < std::min(rows, (block + 1) * height); ++i) kernel(HostRow<Lane>{}, i);
    });
  } else {
    int threads = 32;
    while (threads < 256 && threads < columns / (2 * device_width<T>)) threads *= 2;
    launch(name, Kokkos::TeamPolicy<Exec>(exec, static_cast<int>(rows), threads),
           detail::TeamOfRow<T, Exec, Kernel>{kernel});
  }
}

}  // namespace attn
