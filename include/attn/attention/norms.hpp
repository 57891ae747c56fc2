/// Norms of the attention matrix and statistics of its rows, from queries and keys alone.
///
/// The forward pass of `attention` gathers the same beside its output: `AttentionOptions::norms`.
#pragma once

#include "attn/activation/softmax.hpp"
#include "attn/attention/attention.hpp"
#include "attn/core/launch.hpp"

namespace attn {

namespace detail {

template <class Rows, class Result>
struct LogSumExp {
  Rows rows;
  Result result;

  ATTN_FUNCTION void operator()(Index i) const {
    Index const n = rows.extent(2), heads = rows.extent(1), at = i % n, h = i / n % heads, b = i / n / heads;
    auto const& stats = rows(b, h, at);
    result(b, h, at) = static_cast<typename Result::Scalar>(stats.max + attn::log(stats.sum));
  }
};

}  // namespace detail

/// q (B, H, N, D), k (B, H_kv, M, D) -> `norms`, an `AttentionNorms` or `AttentionStatistics` with memory for what is
/// wanted. O(B H N M D); no N x M matrix is stored. Asynchronous on `exec` where that is a device.
///
///     attn::attention_norms(exec, attn::Softmax{}, q, k, attn::AttentionNorms<float>{frobenius, jacobian});
template <ExecutionSpace Exec, class A, class Q, class K, class Norms, Mask M = Full, class Bias = NoBias>
void attention_norms(Exec const& exec, A const& a, Q const& q, K const& k, Norms const& norms,
                     AttentionOptions<M, NoNorms, Fp32Products, Bias> const& options = {}) {
  Tensor const q_(q);
  Tensor const k_(k);
  using Stored = std::remove_const_t<typename decltype(q_)::Scalar>;
  using Memory = typename decltype(q_)::MemorySpace;
  using T = AccumulatorOf<Stored>;
  static_assert(Real<T>, "attention_norms: ask for norms of real tensors only, not of jets");
  // Values and outputs without columns: their products are empty, and the rest is what is wanted.
  Tensor<Stored const, 4, Memory> const values(nullptr, {k_.extent(0), k_.extent(1), k_.extent(2), 0});
  Tensor<Stored, 4, Memory> const out(nullptr, {q_.extent(0), q_.extent(1), q_.extent(2), 0});
  attention(exec, a, q_, k_, values, out,
            AttentionOptions<M, Norms, Fp32Products, Bias>{
                .mask = options.mask, .score_scale = options.score_scale, .norms = norms, .bias = options.bias});
}

/// The logarithm of the sum of the exponentials of each row of scores, log sum_j e^(s_ij), from what a forward pass of
/// softmax saved: -> result (B, H, N). A row without keys has minus infinity, as near as the statistics come.
template <ExecutionSpace Exec, class T, class Memory, class R>
void log_sum_exp(Exec const& exec, Saved<Softmax, T, Memory> const& saved, Tensor<R, 3, Memory> const& result) {
  auto rows = saved.rows();
  ATTN_CHECK(rows.extents() == result.extents(), "log_sum_exp: give a result of (", rows.extent(0), ", ",
             rows.extent(1), ", ", rows.extent(2), ")");
  attn::launch("attn::log_sum_exp", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, rows.size()),
               detail::LogSumExp<decltype(rows), Tensor<R, 3, Memory>>{rows, result});
}

}  // namespace attn
