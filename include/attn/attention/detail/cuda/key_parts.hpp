/// Parts of the keys of long rows, where tiles of queries are too few for a device: each block takes one part, and a
/// second launch adds up, in their order, what they made.
#pragma once

#include "attn/activation/concepts.hpp"
#include "attn/attention/detail/key_ranges.hpp"
#include "attn/core/tensor.hpp"

#include <cstddef>

namespace attn::detail::cuda {

/// What blocks leave of each row: sums over the keys of each part, and their statistics. Part of no row where there is
/// one part, whose block finishes the row itself.
template <class Stats>
struct RowParts {
  float* sums = nullptr;   ///< (B, H, N, count, width)
  Stats* stats = nullptr;  ///< (B, H, N, count)
  int count = 1;

  static Index bytes(Index rows, Index width, Index count) {
    return rows * count * (width * Index(sizeof(float)) + Index(sizeof(Stats))) + Index(alignof(std::max_align_t));
  }
  /// In `memory` of so many bytes.
  static RowParts in(std::byte* memory, Index rows, Index width, int count) {
    Index const n = rows * count, alignment = Index(alignof(std::max_align_t));
    Index const of_sums = (n * width * Index(sizeof(float)) + alignment - 1) / alignment * alignment;
    return {reinterpret_cast<float*>(memory), reinterpret_cast<Stats*>(memory + of_sums), count};
  }
};

/// Column by column of out (B, H, N, E): out_i = sum_p f_p sum_pi / normalizer_i, with factors f from the statistics of
/// the parts; where weights need no row, the sum alone. Statistics are saved as TeamForward does.
template <class A, class O, class M>
struct CombineParts {
  using Stats = StatsOf<A, float>;

  A a;
  O out;
  Stats* saved;  ///< (B, H, N), or null
  M mask;
  int n_keys;
  RowParts<Stats> parts;

  Index size() const { return out.size(); }

  ATTN_FUNCTION void operator()(Index i) const {
    Index const width = out.extent(3), n = out.extent(2), heads = out.extent(1), e = i % width, row = i / width;
    Index const query = row % n, h = row / n % heads, b = row / n / heads;
    Index const first = row * parts.count;
    float sum = 0;
    if constexpr (RowActivation<A, float>) {
      Stats stats;
      for (int p = 0; p < parts.count; ++p) {
        auto const factors = a.merge(stats, parts.stats[first + p]);
        sum = sum * factors[0] + parts.sums[(first + p) * width + e] * factors[1];
      }
      KeyRange const seen = mask.keys({int(b), int(query), int(n), n_keys});
      bool const empty = seen.begin >= seen.end;
      sum = empty ? 0 : sum / a.normalizer(stats);
      if (saved != nullptr && e == 0) saved[row] = empty ? Stats() : stats;
    } else {
      for (int p = 0; p < parts.count; ++p) sum += parts.sums[(first + p) * width + e];
    }
    out(b, h, query, e) = static_cast<typename O::Scalar>(sum);
  }
};

}  // namespace attn::detail::cuda
