/// Packed sequences: a batch of sequences without what its masks hide, and the attention masks that fit it.
#pragma once

#include "attn/attention/mask.hpp"
#include "attn/core/tensor.hpp"

namespace attn::nn {

/// B sequences of `length` positions each, of which some are masked. Only the visible tokens exist: token r of the
/// batch is row r of every matrix (rows, C). Rows of a sequence lie together, ordered by position. What a masked token
/// would have been multiplied by zero for, is not computed at all; results are those of the padded batch.
template <class Memory>
struct PackedSequences {
  Index length = 0;                          // positions of each sequence, hidden ones included
  Tensor<int const, 1, Memory> offsets;      // (B + 1): sequence b has the rows offsets[b] ... offsets[b + 1] - 1
  Tensor<int const, 1, Memory> sequence_of;  // (rows)
  Tensor<int const, 1, Memory> position_of;  // (rows): ascending within a sequence, below length

  Index batch() const { return offsets.extent(0) - 1; }
  Index rows() const { return sequence_of.extent(0); }
};

/// Row r sees the rows of its own sequence. To activations, every sequence has `n` keys.
struct OwnSequence {
  int const* sequence_of = nullptr;
  int const* offsets = nullptr;
  int n = 0;

  ATTN_FUNCTION KeyRange keys(Query q) const {
    int const b = sequence_of[q.index];
    return {offsets[b], offsets[b + 1]};
  }
  ATTN_FUNCTION int length(int, int) const { return n; }
};

/// Row r sees the `landmarks` keys of its sequence, where the keys are (B landmarks).
struct OwnLandmarks {
  int const* sequence_of = nullptr;
  int landmarks = 1;

  ATTN_FUNCTION KeyRange keys(Query q) const {
    int const first = sequence_of[q.index] * landmarks;
    return {first, first + landmarks};
  }
  ATTN_FUNCTION int length(int, int) const { return landmarks; }
};

/// Landmark l, of the sequence l / landmarks, sees the rows of its sequence. To activations, every sequence has `n`
/// keys.
struct OwnRows {
  int const* offsets = nullptr;
  int landmarks = 1;
  int n = 0;

  ATTN_FUNCTION KeyRange keys(Query q) const {
    int const b = q.index / landmarks;
    return {offsets[b], offsets[b + 1]};
  }
  ATTN_FUNCTION int length(int, int) const { return n; }
};

}  // namespace attn::nn
