/// Sums over the rows of a matrix and over vectors, in an order that does not depend on the number of threads.
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/elementwise.hpp"
#include "attn/core/overlap.hpp"
#include "attn/core/tensor.hpp"
#include "attn/linalg/detail/host_scratch.hpp"

#include <algorithm>
#include <type_traits>

namespace attn::linalg {
namespace detail {

/// Rows of one partial sum: at most 16 partial sums, none of few rows.
inline Index rows_of_partial_sum(Index rows) { return std::max(Index(128), (rows + 15) / 16); }

template <class S, Real T>
struct HostColumnSums {
  Tensor<S const, 2, Kokkos::HostSpace> x;
  T* partial;  // (parts, columns)
  Index rows_of_part;

  void operator()(Index part) const {
    Index const first = part * rows_of_part, last = std::min(x.extent(0), first + rows_of_part);
    for_lanes<T>(0, x.extent(1), [&](auto lanes, Index column) {
      using Value = typename decltype(lanes)::Value;
      Value sums[4] = {Value(T(0)), Value(T(0)), Value(T(0)), Value(T(0))};  // hide the latency of an addition
      S const* at = x.data() + first * x.stride(0) + column;
      Index row = first;
      for (; row + 4 <= last; row += 4) {
        for (auto& sum : sums) {
          sum += lanes.load(at);
          at += x.stride(0);
        }
      }
      for (; row < last; ++row, at += x.stride(0)) sums[0] += lanes.load(at);
      lanes.store(partial + part * x.extent(1) + column, (sums[0] + sums[1]) + (sums[2] + sums[3]));
    });
  }
};

/// out_j = beta out_j + the sum of part_j over `parts` rows that lie `stride` apart.
template <HostExecutionSpace Exec, Real T>
void add_parts(Exec const& exec, T const* partial, Index parts, Index stride, Index n,
               Tensor<T, 1, Kokkos::HostSpace> out, T beta = 1) {
  for_blocks(exec, "attn::column_sums::parts", 1, [=](Index) {
    for_lanes<T>(0, n, [&](auto lanes, Index j) {
      using Value = typename decltype(lanes)::Value;
      Value total(T(0));
      for (Index part = 0; part < parts; ++part) total += lanes.load(partial + part * stride + j);
      T* const to = out.data() + j;
      if (beta != T(0)) total += Value(beta) * lanes.load(to);
      lanes.store(to, total);
    });
  });
}

/// One team sums `team_columns` columns of term(lanes, row, column), which reads numbers of `Stored`: its threads take
/// every team_rows-th row, 16 bytes of it, then the team adds up in order.
template <class T, class Stored, class Memory, class Exec, class Terms>
struct TeamColumnSums {
  using Policy = Kokkos::TeamPolicy<Exec>;
  using Scratch = Kokkos::View<T*, typename Exec::scratch_memory_space, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
  static constexpr int width = device_width<Stored>;
  static constexpr int team_columns = 2 * width;  // the 32 bytes that GPUs fetch; narrow teams are many
  static constexpr int team_rows = 128;
  static constexpr int threads = team_rows * team_columns / width;

  Terms term;
  Index rows, columns;
  T beta;
  Tensor<T, 1, Memory> out;

  KOKKOS_FUNCTION void operator()(typename Policy::member_type const& team) const {
    Scratch const partial(team.team_scratch(0), team_rows * team_columns);
    Index const first = Index(team.league_rank()) * team_columns;
    for (int i = team.team_rank(); i < threads; i += team.team_size()) {
      Index const column = first + i % 2 * width;
      auto const lanes = device_lanes<Stored>(columns - column);
      auto sum = lanes.generate([](int) { return T(0); });
      if (column < columns) {
        for (Index row = i / 2; row < rows; row += team_rows) sum += term(lanes, row, column);
      }
      for (int lane = 0; lane < width; ++lane) partial(i * width + lane) = sum[lane];
    }
    team.team_barrier();
    for (int i = team.team_rank(); i < team_columns; i += team.team_size()) {
      if (first + i >= columns) break;
      T sum = 0;
      for (int row = 0; row < team_rows; ++row) sum += partial(row * team_columns + i);
      T& to = out(first + i);
      to = sum + (beta == T(0) ? T(0) : beta * to);
    }
  }
};

/// Of a matrix whose rows have a unit stride.
template <class S, class Memory>
struct Element {
  Tensor<S const, 2, Memory> x;
  template <class Lanes>
  ATTN_FUNCTION auto operator()(Lanes lanes, Index i, Index j) const {
    return lanes.load(x.data() + i * x.stride(0) + j);
  }
};

template <class T, class Memory>
struct Square {
  Tensor<T const, 1, Memory> x;
  ATTN_FUNCTION void operator()(Index i, double& sum) const { sum += double(x(i)) * double(x(i)); }
};

template <class T, class Memory>
struct Term {
  Tensor<T const, 1, Memory> x;
  ATTN_FUNCTION void operator()(Index i, double& sum) const { sum += double(x(i)); }
};

/// The sum of term(i) for 0 <= i < n on the calling host: blocks of fixed size, added in order.
template <ExecutionSpace Exec, class Functor>
double ordered_sum(Exec const& exec, char const* name, Index n, Functor const& term) {
  double total = 0;
  if constexpr (HostExecutionSpace<Exec>) {
    constexpr Index size = 4096;
    Index const blocks = (n + size - 1) / size;
    double* const partial = host_scratch<double>(std::max(blocks, Index(1)));
    for_blocks(exec, name, blocks, [=](Index block) {
      double sum = 0;
      for (Index i = block * size; i < std::min(n, (block + 1) * size); ++i) term(i, sum);
      partial[block] = sum;
    });
    exec.fence(name);
    for (Index block = 0; block < blocks; ++block) total += partial[block];
  } else {
    Kokkos::parallel_reduce(name, Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, n), term, total);
  }
  return total;
}

}  // namespace detail

/// out_j = beta out_j + sum_i term(i, j) over `rows` rows, for device spaces: term is a functor of (lanes, row, column)
/// that reads numbers of `Stored`, and is computed in `T`.
template <class T, class Stored, ExecutionSpace Exec, class Terms, class Memory>
void column_sums_of(Exec const& exec, Index rows, Index columns, Terms const& term, std::type_identity_t<T> beta,
                    Tensor<T, 1, Memory> const& out) {
  static_assert(std::same_as<T, AccumulatorOf<Stored>>, "column_sums_of: add up in the type that numbers compute in");
  using Kernel = detail::TeamColumnSums<T, Stored, Memory, Exec, Terms>;
  Kernel const kernel{term, rows, columns, beta, out};
  int const teams = static_cast<int>((columns + Kernel::team_columns - 1) / Kernel::team_columns);
  auto policy = [&] {
    if constexpr (HostExecutionSpace<Exec>) {  // whose teams are small
      return typename Kernel::Policy(exec, teams, Kokkos::AUTO);
    } else {
      return typename Kernel::Policy(exec, teams, Kernel::threads);
    }
  }();
  policy.set_scratch_size(0, Kokkos::PerTeam(Kernel::Scratch::shmem_size(Kernel::team_rows * Kernel::team_columns)));
  attn::launch("attn::column_sums", policy, kernel);
}

/// x (m, n), out (n): out_j = beta out_j + sum_i x_ij. The gradient of a bias, with beta = 1. x has a unit stride in
/// its second dimension, and may hold numbers of two bytes. Reads x once.
template <ExecutionSpace Exec, class X, Real T, class Memory>
requires AccessibleFrom<Memory, Exec>
void column_sums(Exec const& exec, Tensor<X, 2, Memory> const& x, std::type_identity_t<T> beta,
                 Tensor<T, 1, Memory> const& out) {
  using S = std::remove_const_t<X>;
  Index const m = x.extent(0), n = x.extent(1);
  ATTN_CHECK(out.extent(0) == n, "column_sums: give a result of ", n, " elements, got ", out.extent(0));
  ATTN_CHECK(x.stride(1) == 1 || n <= 1, "column_sums: give a matrix whose second stride is 1, got ", x.stride(1));
  ATTN_CHECK(!overlap(out, x), "column_sums: give the result memory of its own; it overlaps that of x");
  ProfilingRegion const region("attn::column_sums");
  if (n == 0) return;
  if constexpr (HostExecutionSpace<Exec>) {
    Index const rows_of_part = detail::rows_of_partial_sum(m), parts = (m + rows_of_part - 1) / rows_of_part;
    T* const partial = detail::host_scratch<T>(std::max(Index(1), parts * n));
    for_blocks(exec, "attn::column_sums", parts, detail::HostColumnSums<S, T>{x, partial, rows_of_part});
    detail::add_parts(exec, partial, parts, n, n, out, beta);
  } else {
    column_sums_of<T, S>(exec, m, n, detail::Element<S, Memory>{x}, beta, out);
  }
}

/// The sum of a vector, accumulated in double. Waits for the result.
template <ExecutionSpace Exec, Real T, class Memory>
double sum(Exec const& exec, Tensor<T, 1, Memory> const& x) {
  return detail::ordered_sum(exec, "attn::sum", x.extent(0), detail::Term<std::remove_const_t<T>, Memory>{x});
}

/// The sum of the squares of a vector, accumulated in double. Waits for the result.
template <ExecutionSpace Exec, Real T, class Memory>
double sum_of_squares(Exec const& exec, Tensor<T, 1, Memory> const& x) {
  return detail::ordered_sum(exec, "attn::sum_of_squares", x.extent(0),
                             detail::Square<std::remove_const_t<T>, Memory>{x});
}

}  // namespace attn::linalg
