/// A warp's parts of the gradients of an activation's parameters, which later launches add up (ParameterParts).
#pragma once

#include "attn/attention/detail/cuda/gradients.hpp"
#include "attn/attention/detail/hopper/tile.hpp"

namespace attn::detail::cuda {

/// Of how many own rows, those of a warp, a part is.
inline constexpr int hopper_part = 16;

/// The sum over the lanes of a warp, which all get.
template <class Block>
ATTN_FUNCTION float sum_of_lanes(Block const& block, float x) {
  for (int lanes = 16; lanes > 0; lanes /= 2) x += block.exchange(x, lanes);
  return x;
}

/// The parts of the own queries from `first` on, whose scores the loop over tiles has summed up.
template <class Rows, class Block>
ATTN_FUNCTION void put_parts_of_queries(Block const& block, Rows const& rows, TeamPlace const& at, int first,
                                        Kokkos::Array<float, Rows::n_parameters> const& d_parameters) {
  int const n = int(rows.own_first().extent(2));
  if (rows.parts == nullptr || first >= n) return;
  Index const head_row = (Index(at.batch) * int(rows.own_first().extent(1)) + at.head) * n;
  for (int p = 0; p < Rows::n_parameters; ++p) {
    float const sum = sum_of_lanes(block, d_parameters[p]) * rows.score().parameter_factor(rows.row(at));
    if (block.thread() % 32 == 0) rows.parts[(head_row + first / hopper_part) * Rows::n_parameters + p] = sum;
  }
}

/// The part of the own keys from `first` on, of an activation with one parameter, once the gradients of these keys are
/// there: a sum over scores in the loop would cost a product for each, and ptxas would let none of tensor cores
/// overlap. forward: p_ij = q_i.k_j, w_ij = c raw(p_ij); hence, of raw weights, d_k_j = sum_i d_p_ij q_i with d_p_ij =
/// raw(p_ij) / p_ij d_w_ij, and sum_j <k_j, d_k_j> = sum_ij raw(p_ij) d_w_ij
template <Format F, class Rows, int columns, int n_tiles, class Block>
ATTN_FUNCTION void put_part_of_keys(Block const& block, Rows const& rows, TeamPlace const& at, int first,
                                    Panels<64, columns> keys, float const (&d_k)[1][1][n_tiles][4]) {
  static_assert(Rows::Score::by_quotient && F == Format::bf16);
  int const n = int(rows.own_first().extent(2));
  if (rows.parts == nullptr || first >= n) return;
  int const thread = block.anew(block.thread() % warpgroup), row = thread / 32 * 16 + thread % 32 / 4;
  float sum = 0;
  ATTN_UNROLL
  for (int i = 0; i < 2 * n_tiles; ++i) {
    int const half = i / n_tiles, tile = i % n_tiles;
    auto two = block.template read<std::uint32_t>(keys.chunk(row + 8 * half, tile) + unsigned(4 * (thread % 4)));
    if constexpr (hides_keys<decltype(Rows::x.mask)>) make_finite<F>(two);  // times zero, where nobody sees the key
    sum += std::bit_cast<float>(two << 16) * d_k[0][0][tile][2 * half];
    sum += std::bit_cast<float>(two & 0xffff0000u) * d_k[0][0][tile][2 * half + 1];
  }
  sum = sum_of_lanes(block, sum) * rows.score().parameter_factor(rows.row(at));
  Index const head = Index(at.batch) * int(rows.own_first().extent(1)) + at.head;
  if (thread % 32 == 0) rows.parts[head * tiles_of(n, hopper_part) + first / hopper_part] = sum;
}

}  // namespace attn::detail::cuda
