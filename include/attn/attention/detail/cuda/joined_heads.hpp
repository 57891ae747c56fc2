/// Heads that share keys and have one query each, as decoding has them: their queries are the rows of one tile, so that
/// keys and values are read once for all of them.
#pragma once

#include "attn/attention/options.hpp"
#include "attn/core/tensor.hpp"

namespace attn::detail::cuda {

/// Whether a call may have it: a bias and a dropout ask for the head and the query of a row.
template <class Options>
inline constexpr bool may_join_heads =
    std::same_as<decltype(Options::bias), NoBias> && !drops_weights<decltype(Options::dropout)>;

/// x (B, H, 1, D) -> (B, H / group, group, D); as it is where `group` is 1.
template <class X, class Memory>
Tensor<X, 4, Memory> join_heads(Tensor<X, 4, Memory> const& x, int group) {
  return {x.data(),
          {x.extent(0), x.extent(1) / group, x.extent(2) * group, x.extent(3)},
          {x.stride(0), x.stride(1) * group, group == 1 ? x.stride(2) : x.stride(1), x.stride(3)}};
}

/// What a mask shows rows that are the queries of `group` heads.
template <class M>
struct MaskOfJoinedHeads {
  M mask;
  int group;

  ATTN_FUNCTION KeyRange keys(Query q) const {
    return mask.keys({q.batch, q.index / group, q.n_queries / group, q.n_keys});
  }
  ATTN_FUNCTION int length(int batch, int n_keys) const { return mask.length(batch, n_keys); }
};

/// A mask that hides nothing stays as it is, so that kernels know.
template <class M>
auto join_heads_of_mask(M const& mask, [[maybe_unused]] int group) {
  if constexpr (hides_keys<M>) {
    return MaskOfJoinedHeads<M>{mask, group};
  } else {
    return mask;
  }
}

}  // namespace attn::detail::cuda
