/// A matrix product on the host: tiles whose number and shape depend on the sizes alone, so that the result has the
/// same bits on any number of threads.
#pragma once

#include "attn/linalg/convert.hpp"
#include "attn/linalg/detail/gemm_tile.hpp"
#include "attn/linalg/detail/host_scratch.hpp"

#include <algorithm>

namespace attn::linalg::detail {

/// How a product (m, n, k) is cut: row_tiles x column_tiles parts of the result, `parts` ranges of k for each.
struct GemmTiling {
  Index rows, columns, depth;  // of one tile
  Index row_tiles, column_tiles, parts;

  static constexpr Index tiles_wanted = 8;       // for balance; more where the product is large
  static constexpr double flops_wanted = 8e6;    // of a tile, where there are many: packing its operands then vanishes
  static constexpr double flops_at_least = 1e6;  // of a tile, where there are few: about ten microseconds

  GemmTiling(Index m, Index n, Index k) {
    double const flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    Index const most = std::max(Index(1), static_cast<Index>(flops / flops_at_least));
    columns = even(n, ceil(n, 768), 48);
    column_tiles = ceil(n, columns);

    double const flops_of_row = std::max(1.0, 2.0 * static_cast<double>(columns) * static_cast<double>(k));
    Index const rows_wanted = std::clamp(static_cast<Index>(flops_wanted / flops_of_row), Index(192), Index(1024));
    Index count = ceil(m, rows_wanted);
    if (Index const all = count * column_tiles; all > tiles_wanted / 2 && all < 4 * tiles_wanted) {
      count = ceil(count, tiles_wanted) * tiles_wanted;  // balance of 2, 4 and 8 threads
    }
    rows = even(m, std::min(count, most), 8);
    row_tiles = ceil(m, rows);

    if (Index const missing = std::min(tiles_wanted, most) / (row_tiles * column_tiles); missing > 1) {
      columns = even(n, std::max(column_tiles, std::min(column_tiles * missing, n / 192)), 48);
      column_tiles = ceil(n, columns);
    }
    depth = k;
    parts = 1;
    if (Index const missing = std::min(tiles_wanted, most) / (row_tiles * column_tiles); missing > 1) {
      depth = even(k, std::max(Index(1), std::min(missing, k / 256)), 16);
      parts = ceil(k, depth);
    }
  }

  Index tiles() const { return row_tiles * column_tiles; }

 private:
  static Index ceil(Index a, Index b) { return (a + b - 1) / b; }
  /// The size of a piece when `total` is cut into `count` equal ones, rounded up to a multiple of `granule`.
  static Index even(Index total, Index count, Index granule) {
    return std::min(total, ceil(ceil(total, count), granule) * granule);
  }
};

/// c (m, n) = alpha a b + beta c, then `epilogue` over its elements, tile by tile while they are in the cache.
template <HostExecutionSpace Exec, Real T, class Epilogue>
void host_gemm(Exec const& exec, T alpha, Tensor<T const, 2, Kokkos::HostSpace> a,
               Tensor<T const, 2, Kokkos::HostSpace> b, T beta, Tensor<T, 2, Kokkos::HostSpace> c,
               Epilogue const& epilogue) {
  Index const m = c.extent(0), n = c.extent(1), k = a.extent(1);
  if (m == 0 || n == 0) return;
  GemmTiling const tiling(m, n, k);
  auto const finish = [=](Index row, Index rows, Index column, Index columns) {
    for (Index i = row; i < row + rows; ++i) {
      for_lanes<T>(column, column + columns, [&](auto lanes, Index j) { epilogue(lanes, i, j); });
    }
  };
  auto const part_of_c = [=](Index tile) {
    Index const row = tile / tiling.column_tiles * tiling.rows, column = tile % tiling.column_tiles * tiling.columns;
    return c.slice(0, row, std::min(m, row + tiling.rows)).slice(1, column, std::min(n, column + tiling.columns));
  };
  T* const partial = tiling.parts > 1 ? host_scratch<T>(tiling.parts * m * n) : nullptr;

  for_blocks(exec, "attn::gemm", tiling.tiles() * tiling.parts, [=](Index block) {
    Index const tile = block / tiling.parts, part = block % tiling.parts;
    Index const row = tile / tiling.column_tiles * tiling.rows, column = tile % tiling.column_tiles * tiling.columns;
    auto const c_tile = part_of_c(tile);  // (tile rows, tile columns)
    Index const rows = c_tile.extent(0), columns = c_tile.extent(1);
    Index const first = part * tiling.depth, last = std::min(k, first + tiling.depth);
    auto const a_tile = a.slice(0, row, row + rows).slice(1, first, last);
    auto const b_tile = b.slice(0, first, last).slice(1, column, column + columns);
    if (partial != nullptr) {
      Tensor<T, 2, Kokkos::HostSpace> const sum(partial + part * m * n + row * n + column, {rows, columns}, {n, 1});
      gemm_tile(alpha, a_tile, b_tile, T(0), sum);
    } else {
      gemm_tile(alpha, a_tile, b_tile, beta, c_tile);
      finish(row, rows, column, columns);
    }
  });
  if (partial == nullptr) return;

  Index const height = std::max(Index(1), Index(4096) / n);
  for_blocks(exec, "attn::gemm::sum", (m + height - 1) / height, [=](Index block) {
    Index const first = block * height, last = std::min(m, first + height);
    for (Index i = first; i < last; ++i) {
      for_lanes<T>(0, n, [&](auto lanes, Index j) {
        auto total = lanes.load(partial + i * n + j);
        for (Index p = 1; p < tiling.parts; ++p) total += lanes.load(partial + (p * m + i) * n + j);
        T* const at = &c(i, j);
        if (beta != T(0)) total += typename decltype(lanes)::Value(beta) * lanes.load(at);
        lanes.store(at, total);
      });
    }
    finish(first, last - first, 0, n);
  });
}

/// The same where numbers of memory are narrow: computed with copies in fp32.
template <HostExecutionSpace Exec, class S, class T, class Epilogue>
void host_narrow_gemm(Exec const& exec, float alpha, Tensor<S const, 2, Kokkos::HostSpace> a,
                      Tensor<S const, 2, Kokkos::HostSpace> b, float beta, Tensor<T, 2, Kokkos::HostSpace> c,
                      Epilogue const& epilogue) {
  float* memory = host_scratch<float, 1>(a.size() + b.size() + c.size());
  auto const take = [&](auto const& like) {
    Tensor<float, 2, Kokkos::HostSpace> const copy(memory, like.extents());
    memory += like.size();
    return copy;
  };
  auto const widened = [&](auto const& x) {
    bool const transposed = x.stride(1) != 1 && x.extent(1) != 1;
    auto const rows = transposed ? x.transpose(0, 1) : x;
    auto const copy = take(rows);
    convert(exec, rows, copy);
    return transposed ? copy.transpose(0, 1) : copy;
  };
  auto const wide_a = widened(a), wide_b = widened(b);
  if constexpr (std::same_as<T, float>) {
    host_gemm<Exec, float>(exec, alpha, wide_a, wide_b, beta, c, epilogue);
  } else {
    auto const sums = take(c);
    if (beta != 0) convert(exec, c, sums);
    host_gemm<Exec, float>(exec, alpha, wide_a, wide_b, beta, sums, [](auto, Index, Index) {});
    convert(exec, sums, c);
    elementwise<T>(exec, "attn::gemm::epilogue", c.extent(0), c.extent(1), epilogue);
  }
}

}  // namespace attn::linalg::detail
