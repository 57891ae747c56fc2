/// A bias in the lanes of blocks of queries: transposed once for all sequences that share it.
#pragma once

#include "attn/attention/detail/host/few_queries.hpp"

namespace attn::detail::host {

/// Nothing is added to scores.
template <class T, class Bias>
struct BiasLanes {
  Index size(Bias const&, Shape const&) const { return 0; }
};

/// values (B', H', N, M) -> (B', H', blocks, M, lanes): a tile of scores starts from rows of it, where it would
/// otherwise transpose its part of the bias for each sequence anew. Windows of images share theirs by the hundred.
template <class T, class Memory>
struct BiasLanes<T, ScoreBias<T, Memory>> {
  static constexpr int lanes = block_queries<T>;
  T* data = nullptr;
  Index biases = 0, bias_heads = 0, blocks = 0;
  int n_keys = 0;

  /// The numbers of memory that it takes; none where too few share the bias, or where it is large.
  Index size(ScoreBias<T, Memory> const& bias, Shape const& shape) const {
    constexpr Index enough = 2, most = (Index(8) << 20) / Index(sizeof(T));
    auto const& values = bias.values;
    bool const pays = shape.batch * shape.heads >= enough * values.extent(0) * values.extent(1);
    // A run of queries that starts within a block reads as far as a block behind the last row.
    Index const n = values.extent(0) * values.extent(1) * blocks_of(shape) * shape.n_keys * lanes + lanes;
    return pays && n <= most ? n : 0;
  }

  /// Into `size` numbers of memory; none: nothing is done.
  template <class Exec>
  void fill(std::string const& name, Exec const& exec, ScoreBias<T, Memory> const& bias, Shape const& shape,
            T* memory) {
    auto const& values = bias.values;
    if (size(bias, shape) == 0) return;
    data = memory, biases = values.extent(0), bias_heads = values.extent(1), blocks = blocks_of(shape);
    n_keys = shape.n_keys;
    share(name, exec, biases * bias_heads * blocks, 1, [&](Index first, Index last, int) {
      for (Index item = first; item < last; ++item) {
        Index const block = item % blocks, head = item / blocks % bias_heads, b = item / blocks / bias_heads;
        int const query = static_cast<int>(block) * lanes, n = std::min(lanes, shape.n_queries - query);
        T* const to = data + item * n_keys * lanes;
        std::fill_n(to, Index(n_keys) * lanes, T(0));
        for (int c = 0; c * pack_width<T> < n; ++c) {
          rows_to_lanes<Pack<T>>(&values(b, head, query + c * pack_width<T>, 0), values.stride(2),
                                 std::min(pack_width<T>, n - c * pack_width<T>), n_keys, T(1), to + c * pack_width<T>,
                                 lanes);
        }
      }
    });
    std::fill_n(data + biases * bias_heads * blocks * n_keys * lanes, lanes, T(0));
  }

  /// The rows of keys from `key` on, the lanes of queries from `query` on; without data where they are not there: norms
  /// take few queries at the end as a block, too.
  RowsOf<T> rows(Index b, Index h, int query, int key) const {
    if (data == nullptr || query / lanes >= blocks) return {nullptr, 0};
    Index const block = (b % biases * bias_heads + h % bias_heads) * blocks + query / lanes;
    return {data + (block * n_keys + key) * lanes + query % lanes, lanes};
  }

 private:
  /// Few queries at the end read the bias as it lies.
  static Index blocks_of(Shape const& shape) {
    int const rest = shape.n_queries % lanes;
    return shape.n_queries / lanes + (rest > 0 && !are_few<T>(rest, shape) ? 1 : 0);
  }
};

}  // namespace attn::detail::host
