/// Tiles of matrices in a team's scratch memory, and products of them: what the portable attention kernels are made of.
#pragma once

#include "attn/attention/mask.hpp"
#include "attn/core/jet_tensor.hpp"
#include "attn/core/launch.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace attn::detail {

/// A thread computes micro x micro entries of a product in registers.
template <class T>
inline constexpr int micro = sizeof(T) <= 8 ? 4 : 2;

ATTN_FUNCTION constexpr int round_up(int n, int step) { return (n + step - 1) / step * step; }
ATTN_FUNCTION constexpr int tiles_of(Index n, int tile) { return static_cast<int>((n + tile - 1) / tile); }

/// A matrix in scratch memory.
template <class T>
struct TeamTile {
  T* entries;
  int row_step;
  int column_step;

  ATTN_FUNCTION T& operator()(int i, int j) const { return entries[i * row_step + j * column_step]; }
  ATTN_FUNCTION TeamTile transposed() const { return {entries, column_step, row_step}; }
};

/// An arena in a team's scratch memory. Started at address 0, it counts how much a kernel needs.
struct ScratchArena {
  std::uintptr_t address = 0;

  template <class T>
  ATTN_FUNCTION T* take(int n) {
    constexpr std::uintptr_t alignment = alignof(T) > 16 ? alignof(T) : 16;
    address = (address + alignment - 1) / alignment * alignment;
    T* const start = reinterpret_cast<T*>(address);
    address += static_cast<std::uintptr_t>(n) * sizeof(T);
    return start;
  }

  /// (rows, columns), padded to whole micro-tiles. The odd step between rows keeps threads on different banks.
  template <class T>
  ATTN_FUNCTION TeamTile<T> tile(int rows, int columns) {
    int const step = round_up(columns, micro<T>) + 1;
    return {take<T>(rows * step), step, 1};
  }
};

/// The tokens of one head: (tokens, width).
template <class X>
struct HeadRows {
  Pointer<X> first;
  Index step;
};

template <class X, int Rank, class Memory>
ATTN_FUNCTION HeadRows<X> head_rows(Tensor<X, Rank, Memory> const& x, Index batch, Index head) {
  return {x.data() + batch * x.stride(0) + head * x.stride(1), x.stride(2)};
}

/// Copies `count` rows that start at `first`, and pads with zeros to `rows` rows and to whole micro-tiles of columns.
template <class T, class Team, class X>
ATTN_FUNCTION void load_rows(Team const& team, TeamTile<T> const& tile, HeadRows<X> const& source, int first, int count,
                             int rows, int width) {
  int const columns = round_up(width, micro<T>);
  for (int entry = team.team_rank(); entry < rows * columns; entry += team.team_size()) {
    int const i = entry / columns, d = entry % columns;
    tile(i, d) = i < count && d < width ? static_cast<T>(source.first[(first + i) * source.step + d]) : T(0);
  }
}

template <class T, class Team>
ATTN_FUNCTION void fill_zero(Team const& team, TeamTile<T> const& tile, int rows, int width) {
  int const columns = round_up(width, micro<T>);
  for (int entry = team.team_rank(); entry < rows * columns; entry += team.team_size()) {
    tile(entry / columns, entry % columns) = T(0);
  }
}

/// Writes `count` rows, each entry times `factor`, to the tokens that start at `first`.
template <class T, class Team, class X>
ATTN_FUNCTION void store_rows(Team const& team, TeamTile<T> const& tile, HeadRows<X> const& target, int first,
                              int count, int width, T factor) {
  for (int entry = team.team_rank(); entry < count * width; entry += team.team_size()) {
    int const i = entry / width, d = entry % width;
    target.first[(first + i) * target.step + d] = static_cast<X>(tile(i, d) * factor);
  }
}

/// Every term of a product counts.
struct AllTerms {
  ATTN_FUNCTION constexpr bool operator()(int, int) const { return true; }
};

/// Calls store(i, j, sum_d left(i, d) right(j, d)) for rows x columns entries, both multiples of micro<T>. The same
/// thread gets the same entries in every call of the same size. Terms d of row i for which `counts(i, d)` is false are
/// left out: zero times a number that is not finite is no zero.
template <class T, class Team, class Store, class Counts = AllTerms>
ATTN_FUNCTION void team_product(Team const& team, int rows, int columns, int depth, TeamTile<T> const& left,
                                TeamTile<T> const& right, Store const& store, Counts const& counts = {}) {
  constexpr int R = micro<T>;
  int const down = rows / R, across = columns / R;
  for (int tile = team.team_rank(); tile < down * across; tile += team.team_size()) {
    int const i0 = tile / across, j0 = tile % across;  // entries (i0 + r down, j0 + c across): neighbours in one access
    T sum[R][R];
    for (int r = 0; r < R; ++r) {
      for (int c = 0; c < R; ++c) sum[r][c] = T(0);
    }
    for (int d = 0; d < depth; ++d) {
      T a[R], b[R];
      for (int r = 0; r < R; ++r) a[r] = left(i0 + r * down, d);
      for (int c = 0; c < R; ++c) b[c] = right(j0 + c * across, d);
      for (int r = 0; r < R; ++r) {
        if (!counts(i0 + r * down, d)) continue;
        for (int c = 0; c < R; ++c) sum[r][c] += a[r] * b[c];
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int c = 0; c < R; ++c) store(i0 + r * down, j0 + c * across, sum[r][c]);
    }
  }
}

/// The sum of one value of each thread, in the order of the threads; `room` holds team_size values. Thread 0 has it.
template <class T, class Team>
ATTN_FUNCTION T team_sum(Team const& team, T* room, T const& value) {
  team.team_barrier();
  room[team.team_rank()] = value;
  team.team_barrier();
  T total(0);
  if (team.team_rank() == 0) {
    for (int r = 0; r < team.team_size(); ++r) total += room[r];
  }
  team.team_barrier();
  return total;
}

ATTN_FUNCTION constexpr bool sees(KeyRange keys, int j) { return keys.begin <= j && j < keys.end; }

/// The visible keys of `count` queries from `first` on go to `keys`; queries behind the last see none.
template <class Team, class M>
ATTN_FUNCTION void load_key_ranges(Team const& team, KeyRange* keys, M const& mask, Query query, int count, int rows) {
  int const first = query.index;
  for (int i = team.team_rank(); i < rows; i += team.team_size()) {
    query.index = first + i;
    keys[i] = i < count ? mask.keys(query) : KeyRange{};
  }
}

/// The keys that any of `count` queries from `query` on sees: masks are monotone.
template <class M>
ATTN_FUNCTION KeyRange hull(M const& mask, Query query, int count) {
  KeyRange range = mask.keys(query);
  query.index += count - 1;
  range.end = mask.keys(query).end;
  return range;
}

/// Whether some of `count` queries from `query` on see keys of k0 ... k0 + keys - 1 that others do not.
template <class M>
ATTN_FUNCTION auto cuts(M const& mask, Query query, int count, int k0, int keys) {
  if constexpr (hides_keys<M>) {
    int const end = mask.keys(query).end;
    query.index += count - 1;
    return k0 < mask.keys(query).begin || k0 + keys > end;
  } else {
    return std::false_type();
  }
}

/// `team_product` of weights, or of gradients of scores, with rows of the other side. Where a mask cuts the tile, terms
/// are left out whose `counts(i, d)` is false.
template <class T, class Team, class IsCut, class Counts, class Store>
ATTN_FUNCTION void team_product_where(Team const& team, IsCut is_cut, int rows, int columns, int depth,
                                      TeamTile<T> const& left, TeamTile<T> const& right, Counts const& counts,
                                      Store const& store) {
  if constexpr (std::same_as<IsCut, bool>) {
    if (is_cut) return team_product(team, rows, columns, depth, left, right, store, counts);
  }
  team_product(team, rows, columns, depth, left, right, store);
}

/// What two tile sizes may be: `own` rows stay with a team, `streamed` rows pass through its scratch memory.
struct TileSizes {
  int own = 32;
  int streamed = 32;
};

inline constexpr int team_threads = 64, smallest_team_tile = 4;

/// Launches a kernel with `sizes`, `scratch(cursor)` and `teams()`, with the largest tiles whose scratch memory is
/// fast. Returns the rows that a team owns.
template <class Exec, class Kernel>
int launch_teams(Exec const& exec, char const* name, Index own_rows, Index streamed_rows, Kernel kernel) {
  using Policy = Kokkos::TeamPolicy<Exec>;
  auto const tile_for = [](Index rows) {
    int tile = smallest_team_tile;
    while (tile < 32 && tile < rows) tile *= 2;
    return tile;
  };
  auto const bytes = [&] {
    ScratchArena cursor;
    kernel.scratch(cursor);
    return static_cast<std::size_t>(cursor.address) + 16;
  };
  TileSizes const preferred{tile_for(own_rows), tile_for(streamed_rows)};
  kernel.sizes = preferred;
  std::size_t const fast = static_cast<std::size_t>(Policy::scratch_size_max(0));
  while (bytes() > fast && (kernel.sizes.own > smallest_team_tile || kernel.sizes.streamed > smallest_team_tile)) {
    bool const shrink_own = kernel.sizes.own > kernel.sizes.streamed;
    (shrink_own ? kernel.sizes.own : kernel.sizes.streamed) /= 2;
  }
  kernel.level = bytes() <= fast ? 0 : 1;
  if (kernel.level == 1) kernel.sizes = preferred;
  Index const teams = kernel.teams();
  if (teams == 0) return kernel.sizes.own;
  ATTN_CHECK(teams <= std::numeric_limits<int>::max(), "attention: split the batch, it needs ", teams,
             " teams of threads, more than ", std::numeric_limits<int>::max());
  int threads = 1;  // on a host, whose teams share a core: same bits for any number of threads
  if constexpr (!HostExecutionSpace<Exec>) {
    auto const trial = attn::detail::by_value<Kernel>(Policy(exec, static_cast<int>(teams), Kokkos::AUTO));
    threads = std::min(team_threads, trial.team_size_max(kernel, Kokkos::ParallelForTag()));
  }
  Policy policy(exec, static_cast<int>(teams), threads);
  policy.set_scratch_size(kernel.level, Kokkos::PerTeam(static_cast<int>(bytes())));
  attn::launch(name, policy, kernel);
  return kernel.sizes.own;
}

/// The scratch memory of a team of a kernel launched by `launch_teams`.
template <class Kernel, class Team>
ATTN_FUNCTION auto team_scratch(Kernel const& kernel, Team const& team) {
  ScratchArena bytes;
  kernel.scratch(bytes);
  void* const start = team.team_scratch(kernel.level).get_shmem_aligned(static_cast<std::ptrdiff_t>(bytes.address), 16);
  ScratchArena cursor{reinterpret_cast<std::uintptr_t>(start)};
  return kernel.scratch(cursor);
}

}  // namespace attn::detail
