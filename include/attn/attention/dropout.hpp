/// Dropout of attention's weights: which of them a step leaves out. Drawn by counter wherever they are needed, so no
/// mask is stored, and forward and backward passes see the same, whatever their tiles, threads and kernels are.
#pragma once

#include "attn/core/random.hpp"
#include "attn/core/tensor.hpp"

#include <concepts>

namespace attn {

/// Every weight counts.
struct NoDropout {
  static ATTN_FUNCTION constexpr bool is_on() { return false; }
};

/// out_i = sum_j w_ij m_ij / (1 - rate) v_j, where m_ij is 0 with probability `rate` and 1 otherwise (Vaswani et al.
/// 2017), a function of the key, the sequence, the head, the query and the key. Rows are normalised before: statistics
/// and norms are those of w. The probability is a multiple of 2^-16, the nearest to `rate`.
struct AttentionDropout {
  double rate = 0;                      ///< from 0, where nothing is dropped, to less than 1
  RandomKey key = {};                   ///< of this step and this layer, or, with `step`, of all steps
  std::uint64_t const* step = nullptr;  ///< where kernels read the number of the step, for graphs of launches

  /// Of 2^16 weights, so many are dropped.
  ATTN_FUNCTION std::uint32_t threshold() const {
    std::uint32_t const t = static_cast<std::uint32_t>(rate * 65536 + 0.5);
    return t < 65536 ? t : 65535;
  }
  ATTN_FUNCTION bool is_on() const { return threshold() > 0; }
  ATTN_FUNCTION RandomKey key_of_step() const { return step == nullptr ? key : subkey(key, *step); }
};

namespace detail {

/// Whether calls may drop weights: the type says so, the rate may still be zero.
template <class Dropout>
inline constexpr bool drops_weights = !std::same_as<Dropout, NoDropout>;

/// What becomes of the weights of a head.
template <class R, class Dropout>
struct HeadDropout {
  static constexpr R factor = 1;

  ATTN_FUNCTION HeadDropout(Dropout const&, Index) {}

  template <class T>
  ATTN_FUNCTION T operator()(T const& x, int, int) const {
    return x;
  }
};

/// A word of random bits serves two keys that lie 8 apart: the register tiles of tensor cores have both in one lane,
/// whether queries or keys are their rows.
template <class R>
struct HeadDropout<R, AttentionDropout> {
  RandomRows<> rows;
  std::uint32_t limit;  ///< what is drawn below is dropped
  R factor;             ///< of what is not

  /// Head `head` of all (B, H).
  ATTN_FUNCTION HeadDropout(AttentionDropout const& d, Index head)
      : rows(random_rows(d.key_of_step(), static_cast<std::uint64_t>(head))),
        limit(d.threshold() << 16),
        factor(R(65536) / R(65536 - d.threshold())) {}

  ATTN_FUNCTION bool is_on() const { return limit > 0; }

  /// Which word of its row is that of key j, and whether j is the first of the two that share it.
  template <class Number>
  static ATTN_FUNCTION constexpr auto word_of(Number j) {
    return ((j >> 4) << 3) | (j & 7);
  }
  template <class Number>
  static ATTN_FUNCTION constexpr auto is_first(Number j) {
    return (j & 8) == 0;
  }
  /// What is drawn for the first and the second of them, to compare with `limit`.
  template <class Bits>
  static ATTN_FUNCTION constexpr Bits first_draw(Bits word) {
    return word << 16;
  }

  /// Weight w_ij, or the gradient of it that reached the output.
  template <class T>
  ATTN_FUNCTION T operator()(T const& x, int i, int j) const {
    if (!is_on()) return x;
    std::uint32_t const key = static_cast<std::uint32_t>(j);
    std::uint32_t const word = rows.row(static_cast<std::uint32_t>(i)).word(word_of(key));
    return x * T((is_first(key) ? first_draw(word) : word) >= limit ? factor : R(0));
  }
};

}  // namespace detail
}  // namespace attn
