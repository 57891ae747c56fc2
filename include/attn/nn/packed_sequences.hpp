/// Packed sequences: a batch of sequences without what its masks hide, and the attention masks that fit it.
#pragma once

#include "attn/attention/mask.hpp"
#include "attn/core/tensor.hpp"

#include <tuple>

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

  /// An aggregate (nn/aggregate.hpp).
  static constexpr auto tensors =
      std::tuple(&PackedSequences::offsets, &PackedSequences::sequence_of, &PackedSequences::position_of);

  ATTN_FUNCTION Index batch() const { return offsets.extent(0) - 1; }
  ATTN_FUNCTION Index rows() const { return sequence_of.extent(0); }
};

/// What is known of the tokens of one call besides their numbers: set in the context for a call, through all blocks and
/// models (`WithSequences`), and read by whatever attends. Padded tokens (B, N, C) have lengths; packed ones come as
/// one sample (1, rows, C).
template <class Memory>
struct CallSequences {
  Tensor<int const, 1, Memory> lengths = {};  // (B): the keys of each sequence; those behind are padding
  PackedSequences<Memory> packed = {};
  Tensor<int const, 1, Memory> memory_lengths = {};  // (B): those of the memory that a decoder attends to
};

/// Queries and keys are in groups, and a query sees the keys of its group. One type serves every call of attention on
/// packed sequences, so a kernel is compiled once for all of them.
///
///   group of query i:  group_of[i], or i / queries_per_group without such a table
///   keys of group g:   first_key[g] ... first_key[g + 1] - 1, or g keys_per_group and so on without such a table
///
/// To activations, every group has `n` keys. Tables lie where the kernel runs.
struct Grouped {
  int const* group_of = nullptr;
  int queries_per_group = 1;
  int const* first_key = nullptr;
  int keys_per_group = 1;
  int n = 1;

  ATTN_FUNCTION KeyRange keys(Query q) const {
    int const g = group_of != nullptr ? group_of[q.index] : q.index / queries_per_group;
    if (first_key != nullptr) return {first_key[g], first_key[g + 1]};
    return {g * keys_per_group, (g + 1) * keys_per_group};
  }
  ATTN_FUNCTION int length(int, int) const { return n; }
};

/// Rows see the rows of their sequence.
template <class Memory>
Grouped rows_to_rows(PackedSequences<Memory> const& s, Index n) {
  return {.group_of = s.sequence_of.data(), .first_key = s.offsets.data(), .n = static_cast<int>(n)};
}
/// Rows see the m landmarks of their sequence, of keys (B m).
template <class Memory>
Grouped rows_to_landmarks(PackedSequences<Memory> const& s, Index m) {
  return {.group_of = s.sequence_of.data(), .keys_per_group = static_cast<int>(m), .n = static_cast<int>(m)};
}
/// Landmarks, of queries (B m), see the rows of their sequence.
template <class Memory>
Grouped landmarks_to_rows(PackedSequences<Memory> const& s, Index m, Index n) {
  return {.queries_per_group = static_cast<int>(m), .first_key = s.offsets.data(), .n = static_cast<int>(n)};
}
/// The m landmarks of one sequence see one another.
inline Grouped landmarks_to_landmarks(Index m) {
  return {.queries_per_group = static_cast<int>(m), .keys_per_group = static_cast<int>(m), .n = static_cast<int>(m)};
}

}  // namespace attn::nn
