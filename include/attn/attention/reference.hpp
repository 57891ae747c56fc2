/// Attention as the textbook writes it: serial, materialised, for any scalar. Documentation, and the oracle of the fast
/// kernels.
///
/// With s_ij = score_scale q_i.k_j (+ bias_ij) and the keys j that the mask shows to query i:
///   forward   w_ij = a(s_ij)           out_i = sum_j w_ij v_j
///   backward  d_w_ij = d_out_i.v_j     d_v_j += w_ij d_out_i     d_s_ij = pullback of d_w_i     d_bias_ij += d_s_ij
///             d_q_i = score_scale sum_j d_s_ij k_j               d_k_j += score_scale d_s_ij q_i
/// Where weights are dropped, what passes between w_ij and v_j, either way, is multiplied by m_ij / (1 - rate).
/// Query head h uses key head h / (H / H_kv).
#pragma once

#include "attn/activation/slope.hpp"
#include "attn/attention/options.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace attn::reference {

namespace detail {

/// The visible scores of one query and what the activation makes of them.
template <class A, class T>
struct WeightRow {
  KeyRange keys;
  std::vector<T> scores = {};
  std::vector<T> weights = {};
  attn::detail::StatsOf<A, T> stats = {};
};

template <class T, class A, class Q, class K, class Options>
WeightRow<A, T> weight_row(A const& a, Q const& q, K const& k, Options const& options, RealOf<T> score_scale, Index b,
                           Index h, Index i) {
  int const n = static_cast<int>(q.extent(2)), m = static_cast<int>(k.extent(2));
  Index const key_head = h / (q.extent(1) / k.extent(1));
  Row const row{options.mask.length(static_cast<int>(b), m), static_cast<int>(h)};
  WeightRow<A, T> r{.keys = options.mask.keys({static_cast<int>(b), static_cast<int>(i), n, m})};
  for (int j = r.keys.begin; j < r.keys.end; ++j) {
    T s(0);
    for (Index d = 0; d < q.extent(3); ++d) s += T(q(b, h, i, d)) * T(k(b, key_head, j, d));
    r.scores.push_back(options.bias.add(s * T(score_scale), b, h, i, j));
  }
  if constexpr (RowActivation<A, T>) {
    auto const known = for_row(a, row);
    for (T const& s : r.scores) known.absorb(r.stats, s);
    for (T const& s : r.scores) r.weights.push_back(known.numerator(s, r.stats) / known.normalizer(r.stats));
  } else {
    for (T const& s : r.scores) r.weights.push_back(a(s, row));
  }
  return r;
}

template <class T, class Options>
RealOf<T> score_scale(Options const& options, Index width) {
  double const columns = std::max(1.0, static_cast<double>(width));
  return RealOf<T>(options.score_scale != 0 ? options.score_scale : 1 / std::sqrt(columns));
}

inline void add_bias_gradient(NoBias const&, Index, Index, Index, Index, auto const&) {}
template <class R, class Memory, class T>
void add_bias_gradient(ScoreBias<R, Memory> const& bias, Index b, Index h, Index i, Index j, T const& d_s) {
  auto const& to = bias.gradient;
  if (to.data() != nullptr) to(b % to.extent(0), h % to.extent(1), i, j) += static_cast<R>(real_gradient(d_s));
}

}  // namespace detail

/// q (B, H, N, D), k (B, H_kv, M, D) -> weights (B, H, N, M) before any is dropped; zero where the mask hides a key.
/// O(B H N M D).
template <class A, class Q, class K, class W, class Options = AttentionOptions<>>
void attention_weights(A const& a, Q const& q, K const& k, W const& weights, Options const& options = {}) {
  using T = std::remove_const_t<typename W::Scalar>;
  RealOf<T> const scale = detail::score_scale<T>(options, q.extent(3));
  for (Index b = 0; b < q.extent(0); ++b) {
    for (Index h = 0; h < q.extent(1); ++h) {
      for (Index i = 0; i < q.extent(2); ++i) {
        auto const row = detail::weight_row<T>(a, q, k, options, scale, b, h, i);
        for (int j = 0; j < static_cast<int>(k.extent(2)); ++j) {
          bool const visible = row.keys.begin <= j && j < row.keys.end;
          weights(b, h, i, j) = visible ? row.weights[static_cast<std::size_t>(j - row.keys.begin)] : T(0);
        }
      }
    }
  }
}

/// q (B, H, N, D), k (B, H_kv, M, D), v (B, H_kv, M, E) -> out (B, H, N, E). O(B H N M (D + E)).
template <class A, class Q, class K, class V, class O, class Options = AttentionOptions<>>
void attention(A const& a, Q const& q, K const& k, V const& v, O const& out, Options const& options = {}) {
  using T = AccumulatorOf<typename O::Scalar>;
  RealOf<T> const scale = detail::score_scale<T>(options, q.extent(3));
  for (Index b = 0; b < q.extent(0); ++b) {
    for (Index h = 0; h < q.extent(1); ++h) {
      Index const key_head = h / (q.extent(1) / k.extent(1));
      attn::detail::HeadDropout<RealOf<T>, decltype(Options::dropout)> const drop(options.dropout, b * q.extent(1) + h);
      for (Index i = 0; i < q.extent(2); ++i) {
        auto const row = detail::weight_row<T>(a, q, k, options, scale, b, h, i);
        for (Index e = 0; e < v.extent(3); ++e) {
          T sum(0);
          for (int j = row.keys.begin; j < row.keys.end; ++j) {
            T const& w = row.weights[static_cast<std::size_t>(j - row.keys.begin)];
            sum += drop(w, static_cast<int>(i), j) * T(v(b, key_head, j, e));
          }
          out(b, h, i, e) = static_cast<typename O::Scalar>(sum);
        }
      }
    }
  }
}

/// The gradients of all inputs; those of the activation's own parameters and of a bias are added to theirs.
/// q, d_q (B, H, N, D); k, d_k (B, H_kv, M, D); v, d_v (B, H_kv, M, E); d_out (B, H, N, E). O(B H N M (D + E)).
template <class A, class Q, class K, class V, class DO, class DQ, class DK, class DV,
          class Options = AttentionOptions<>>
void attention_backward(A const& a, Q const& q, K const& k, V const& v, DO const& d_out, DQ const& d_q, DK const& d_k,
                        DV const& d_v, Options const& options = {}) {
  using T = AccumulatorOf<typename DQ::Scalar>;
  RealOf<T> const scale = detail::score_scale<T>(options, q.extent(3));
  Index const group = q.extent(1) / k.extent(1), m = k.extent(2), width = q.extent(3), value_width = v.extent(3);
  for (Index b = 0; b < q.extent(0); ++b) {
    for (Index key_head = 0; key_head < k.extent(1); ++key_head) {
      std::vector<T> sum_d_k(static_cast<std::size_t>(m * width), T(0));
      std::vector<T> sum_d_v(static_cast<std::size_t>(m * value_width), T(0));
      for (Index h = key_head * group; h < (key_head + 1) * group; ++h) {
        Row const a_row{options.mask.length(static_cast<int>(b), static_cast<int>(m)), static_cast<int>(h)};
        attn::detail::HeadDropout<RealOf<T>, decltype(Options::dropout)> const drop(options.dropout,
                                                                                    b * q.extent(1) + h);
        for (Index i = 0; i < q.extent(2); ++i) {
          auto const row = detail::weight_row<T>(a, q, k, options, scale, b, h, i);
          std::size_t const visible = row.weights.size();
          std::vector<T> d_w(visible, T(0)), d_s(visible, T(0));
          T delta(0);
          for (std::size_t r = 0; r < visible; ++r) {
            Index const j = row.keys.begin + static_cast<Index>(r);
            auto const kept = [&](T const& x) { return drop(x, static_cast<int>(i), static_cast<int>(j)); };
            T const w = kept(row.weights[r]);
            for (Index e = 0; e < value_width; ++e) {
              // forward: out_i += w_ij v_j; hence d_w_ij += d_out_i.v_j and d_v_j += w_ij d_out_i
              d_w[r] += T(d_out(b, h, i, e)) * T(v(b, key_head, j, e));
              sum_d_v[static_cast<std::size_t>(j * value_width + e)] += w * T(d_out(b, h, i, e));
            }
            d_w[r] = kept(d_w[r]);
            delta += row.weights[r] * d_w[r];
          }
          for (std::size_t r = 0; r < visible; ++r) {
            if constexpr (RowActivation<A, T>) {
              d_s[r] = pull_back(for_row(a, a_row), row.scores[r], row.weights[r], d_w[r], delta, row.stats);
            } else {
              d_s[r] = weight_and_slope(a, row.scores[r], a_row).slope * d_w[r];
            }
            detail::add_bias_gradient(options.bias, b, h, i, row.keys.begin + static_cast<Index>(r), d_s[r]);
            if constexpr (LearnableActivation<A, T>) {
              auto const parameters = a.parameters();
              auto const shares = [&] {
                if constexpr (RowActivation<A, T>) {
                  return for_row(a, a_row).parameter_pullbacks(row.scores[r], row.weights[r], d_w[r], delta, row.stats);
                } else {
                  auto slopes = a.parameter_slopes(row.scores[r], a_row);
                  for (int p = 0; p < A::n_parameters; ++p) slopes[p] = slopes[p] * d_w[r];
                  return slopes;
                }
              }();
              for (int p = 0; parameters.gradient != nullptr && p < A::n_parameters; ++p) {
                Index const at = (parameters.per_head ? h * A::n_parameters : 0) + p;
                parameters.gradient[at] += real_gradient(shares[static_cast<std::size_t>(p)]);
              }
            }
          }
          for (Index d = 0; d < width; ++d) {
            // forward: s_ij = scale q_i.k_j; hence d_q_i += scale d_s_ij k_j and d_k_j += scale d_s_ij q_i
            T sum(0);
            for (std::size_t r = 0; r < visible; ++r) {
              Index const j = row.keys.begin + static_cast<Index>(r);
              sum += d_s[r] * T(k(b, key_head, j, d));
              sum_d_k[static_cast<std::size_t>(j * width + d)] += d_s[r] * T(q(b, h, i, d)) * T(scale);
            }
            d_q(b, h, i, d) = static_cast<typename DQ::Scalar>(sum * T(scale));
          }
        }
      }
      for (Index j = 0; j < m; ++j) {
        for (Index d = 0; d < width; ++d) {
          d_k(b, key_head, j, d) = static_cast<typename DK::Scalar>(sum_d_k[static_cast<std::size_t>(j * width + d)]);
        }
        for (Index e = 0; e < value_width; ++e) {
          d_v(b, key_head, j, e) =
              static_cast<typename DV::Scalar>(sum_d_v[static_cast<std::size_t>(j * value_width + e)]);
        }
      }
    }
  }
}

}  // namespace attn::reference
