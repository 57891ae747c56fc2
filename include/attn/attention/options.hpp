/// AttentionOptions: mask, score scale and by-products of one call of attention.
#pragma once

#include "attn/attention/dropout.hpp"
#include "attn/attention/mask.hpp"
#include "attn/core/tensor.hpp"

namespace attn {

/// No norms are asked for.
struct NoNorms {};

/// Squared norms of the attention matrix A (N, M) of each head, written by the forward pass that computes A anyway:
/// `frobenius` (B, H) = sum_ij w_ij^2, and `jacobian` (B, H) = sum over all entries of (dw_ij / ds_ik)^2. A tensor
/// without data is not written.
template <class R, class Memory = Kokkos::DefaultExecutionSpace::memory_space>
struct AttentionNorms {
  Tensor<R, 2, Memory> frobenius = {};
  Tensor<R, 2, Memory> jacobian = {};
};

/// The same norms, and for each row of A, (B, H, N): the sum of its weights, the smallest and the largest, how many are
/// positive and negative, and the entropy -sum_j p_j log p_j of p_j = |w_ij| / sum_k |w_ik|. Over the keys that the
/// mask shows; a row without keys has zeros. A tensor without data is not written; entropy is the one that costs to
/// compute.
template <class R, class Memory = Kokkos::DefaultExecutionSpace::memory_space>
struct AttentionStatistics {
  Tensor<R, 2, Memory> frobenius = {};
  Tensor<R, 2, Memory> jacobian = {};
  Tensor<R, 3, Memory> sum = {};
  Tensor<R, 3, Memory> minimum = {};
  Tensor<R, 3, Memory> maximum = {};
  Tensor<R, 3, Memory> positive = {};
  Tensor<R, 3, Memory> negative = {};
  Tensor<R, 3, Memory> entropy = {};
};

/// How tensor cores of CUDA multiply fp32 numbers: as accurately as fp32, each as the sum of two tf32 numbers, or
/// faster, rounded to the 11 significant bits of tf32 (errors of about 1e-3). No other kernel asks.
struct Fp32Products {};
struct Tf32Products {};

/// Nothing is added to scores.
struct NoBias {
  template <class T>
  ATTN_FUNCTION T add(T score, Index, Index, Index, Index) const {
    return score;
  }
};

/// What is added to scores before the activation: s_ij = score_scale q_i.k_j + values(b, h, i, j), as in windows with
/// relative positions (Swin, T5) or linear biases (ALiBi).
///
/// `values` (B', H', N, M), its last stride 1, in numbers of the type that scores are computed in (double, or else
/// float). B' divides B, and sequence b takes the bias b % B': the windows of an image may differ, and images share
/// them. H' is H, or 1 for all heads alike. `gradient`, of the same shape, gets the gradient of `values` added by
/// `attention_backward`; without data it is not made. It may also keep apart what shares a bias: (B'', H'', N, M), with
/// any such B'' and H'', gets at b % B'' the sum over sequences b, and the caller adds these up. Tensor cores take a
/// block of threads for each 64 x 64 numbers of it, or less, and want hundreds. To hide keys is the business of a mask:
/// a polynomial need not take a score for nothing, however low.
template <class R, class Memory = Kokkos::DefaultExecutionSpace::memory_space>
struct ScoreBias {
  Tensor<R const, 4, Memory> values;
  Tensor<R, 4, Memory> gradient = {};

  /// The score of query i and key j of head h of sequence b.
  template <class T>
  ATTN_FUNCTION T add(T score, Index b, Index h, Index i, Index j) const {
    return score + T(values(b % values.extent(0), h % values.extent(1), i, j));
  }
};

/// Which way a call takes where the activation is a polynomial of the score (`StatesPolynomial`), on hosts: the matrix
/// of weights tile by tile, O(N M), or sums of products of the coordinates of keys, O(N + M), with the same results up
/// to rounding. `automatic` takes what a model of both times says is faster; `linear` throws where there is no such
/// way: see docs/performance.md. `describe` says which it is.
enum class AttentionPath { automatic, quadratic, linear };

/// `AttentionOptions<Causal>{.score_scale = 0.125f}`. The types choose code, the values choose numbers.
template <class M = Full, class Norms = NoNorms, class Products_ = Fp32Products, class Bias = NoBias,
          class Dropout = NoDropout>
struct AttentionOptions {
  using Products = Products_;
  static_assert(Mask<M>,
                "AttentionOptions: give a mask with keys(attn::Query), which returns an attn::KeyRange, and "
                "length(int batch, int n_keys), which returns an int: see attn/attention/mask.hpp");

  M mask = {};
  double score_scale = 0;  ///< s_ij = score_scale q_i.k_j; 0 means 1/sqrt(D)
  Norms norms = {};
  Bias bias = {};
  AttentionPath path = AttentionPath::automatic;
  Dropout dropout = {};  ///< of weights, in training
};

/// `options` with a bias: `with_bias(AttentionOptions<Causal>{}, ScoreBias<float>{values, gradient})`.
template <class M, class Norms, class Products, class Bias, class Dropout>
AttentionOptions<M, Norms, Products, Bias, Dropout> with_bias(
    AttentionOptions<M, Norms, Products, NoBias, Dropout> const& options, Bias const& bias) {
  return {options.mask, options.score_scale, options.norms, bias, options.path, options.dropout};
}
/// `options` with another dropout: `with_dropout(AttentionOptions<Causal>{}, AttentionDropout{.rate = 0.1, .key =
/// key})`.
template <class M, class Norms, class Products, class Bias, class Before, class Dropout>
AttentionOptions<M, Norms, Products, Bias, Dropout> with_dropout(
    AttentionOptions<M, Norms, Products, Bias, Before> const& options, Dropout const& dropout) {
  return {options.mask, options.score_scale, options.norms, options.bias, options.path, dropout};
}

}  // namespace attn
