/// The mask of one call: what a mask's type asks for, filled in from what the context knows of the sequences.
#pragma once

#include "attn/attention/mask.hpp"
#include "attn/nn/context.hpp"

namespace attn::nn::detail {

template <class M>
inline constexpr bool takes_lengths = std::same_as<M, KeyPadding>;
template <class A, class B>
inline constexpr bool takes_lengths<Both<A, B>> = takes_lengths<A> || takes_lengths<B>;

/// Fills in lengths (B) where they are asked for and not given already.
template <class M, class Lengths>
M with_lengths(M const& mask, Lengths const&) {
  return mask;
}
template <class Lengths>
KeyPadding with_lengths(KeyPadding const& mask, Lengths const& lengths) {
  ATTN_CHECK(mask.lengths != nullptr || lengths.data() != nullptr || lengths.extent(0) > 0,
             "KeyPadding: give the lengths of the sequences with the call: attn::nn::WithSequences const padded(ctx, "
             "{.lengths = lengths})");
  return lengths.data() != nullptr ? KeyPadding{lengths.data()} : mask;
}
template <class A, class B, class Lengths>
Both<A, B> with_lengths(Both<A, B> const& mask, Lengths const& lengths) {
  return {with_lengths(mask.first, lengths), with_lengths(mask.second, lengths)};
}

/// `mask` for `batch` sequences of this call. `n` is what packed sequences have as keys, to activations. A module that
/// would leave lengths or packing out of account refuses them.
template <class Ctx, class M>
M call_mask(Ctx& ctx, char const* function, M const& mask, Index batch, Index rows, Index n) {
  auto const& lengths = ctx.sequences.lengths;
  auto const& packed = ctx.sequences.packed;
  if constexpr (std::same_as<M, Grouped>) {
    ATTN_CHECK(
        packed.offsets.data() != nullptr, function,
        ": give packed sequences with the call: attn::nn::WithSequences const packed(ctx, {.packed = sequences})");
    ATTN_CHECK(batch == 1 && packed.rows() == rows && packed.length <= n, function, ": give the ", packed.rows(),
               " rows of sequences of at most ", n, " positions as one sample, got (", batch, ", ", rows,
               ", .) and sequences of ", packed.length);
    return rows_to_rows(packed, n);
  } else {
    ATTN_CHECK(packed.offsets.data() == nullptr, function,
               ": attend to packed sequences with attn::nn::SequenceAttention or attn::nn::NystromAttention");
    ATTN_CHECK(lengths.data() == nullptr || takes_lengths<M>, function,
               ": write attn::KeyPadding, or attn::Both<..., attn::KeyPadding>, as the mask of attention to sequences "
               "with lengths");
    ATTN_CHECK(lengths.data() == nullptr || lengths.extent(0) == batch, function, ": give ", batch,
               " lengths, one for each sequence, got ", lengths.extent(0));
    return with_lengths(mask, lengths);
  }
}

/// For cores that see all tokens of their input.
template <class Ctx>
void refuse_sequences(Ctx const& ctx, char const* function) {
  ATTN_CHECK(ctx.sequences.lengths.data() == nullptr && ctx.sequences.packed.offsets.data() == nullptr, function,
             ": call it without lengths or packed sequences, which it would leave out of account");
}

/// The mask of sequence `b` alone.
template <class M>
M of_sequence(M const& mask, Index) {
  return mask;
}
inline KeyPadding of_sequence(KeyPadding const& mask, Index b) { return {mask.lengths + b}; }
template <class A, class B>
Both<A, B> of_sequence(Both<A, B> const& mask, Index b) {
  return {of_sequence(mask.first, b), of_sequence(mask.second, b)};
}

}  // namespace attn::nn::detail
