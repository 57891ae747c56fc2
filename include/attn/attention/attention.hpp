/// Attention with any activation, forward and backward.
///
///   out_i = sum_j a(s_ij) v_j     with s_ij = score_scale q_i.k_j (+ bias_ij) over the keys j that the mask shows to
///                                 query i; in training, weights a(s_ij) may be dropped (attention/dropout.hpp)
#pragma once

#include "attn/attention/build_advice.hpp"
#include "attn/attention/detail/check.hpp"
#include "attn/attention/detail/dispatch.hpp"
#include "attn/attention/detail/pointers.hpp"
#include "attn/attention/saved.hpp"

namespace attn {

/// q (B, H, N, D), k (B, H_kv, M, D), v (B, H_kv, M, E) -> out (B, H, N, E).
///
/// Tensors or Kokkos views of any strides with a unit last stride; H a multiple of H_kv. A query that sees no key gets
/// zero. O(B H N M (D + E)) less what the mask skips; no N x M matrix is stored. Asynchronous on `exec`. `saved` is
/// filled with what `attention_backward` needs. Throws `attn::Error` where the shapes do not fit.
template <ExecutionSpace Exec, class A, class Q, class K, class V, class O, class T, class Memory, Mask M = Full,
          class Norms = NoNorms, class Products = Fp32Products, class Bias = NoBias, class Dropout = NoDropout>
void attention(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
               Saved<A, T, Memory> const& saved,
               AttentionOptions<M, Norms, Products, Bias, Dropout> const& options = {}) {
  ProfilingRegion const region("attn::attention");
  Tensor const q_(q);
  Tensor const k_(k);
  Tensor const v_(v);
  Tensor const out_(out);
  detail::check_activation_concept<A, T>();
  detail::check_attention("attention", q_, k_, v_, out_);
  detail::check_bias<T, Memory>("attention", options.bias, q_, k_);
  detail::check_dropout<T>("attention", options.dropout);
  detail::check_saved("attention", a, saved, q_, false);
  detail::check_norms("attention", options.norms, q_);
  detail::check_apart("attention", "out", out_, detail::Named{"q", q_}, detail::Named{"k", k_}, detail::Named{"v", v_});
  // Not E: the statistics of the rows are wanted. And the norms of a matrix without rows are zero.
  if (out_.extent(0) * out_.extent(1) == 0 || (out_.extent(2) == 0 && !detail::wants_norms<Norms>)) return;
  detail::check_pointers<T>("attention", a, options.mask);
  if constexpr (HostExecutionSpace<Exec>) detail::print_build_advice();
  if constexpr (ErasedActivation<A>) {
    a.attend(exec, q_, k_, v_, out_, saved, options);
  } else {
    detail::attention_forward(exec, a, q_, k_, v_, out_, saved, options);
  }
}

/// The same, with memory of its own for what is saved: `auto saved = attention(exec, Softmax{}, q, k, v, out);`
template <ExecutionSpace Exec, class A, class Q, class K, class V, class O, Mask M = Full, class Norms = NoNorms,
          class Products = Fp32Products, class Bias = NoBias, class Dropout = NoDropout>
auto attention(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
               AttentionOptions<M, Norms, Products, Bias, Dropout> const& options = {}) {
  using Out = decltype(Tensor(out));
  using T = AccumulatorOf<typename Out::Scalar>;
  detail::check_activation_concept<A, T>();
  Tensor const q_(q);
  Saved<A, T, typename Out::MemorySpace> saved(a, q_.extent(0), q_.extent(1), q_.extent(2));
  attention(exec, a, q, k, v, out, saved, options);
  return saved;
}

/// The gradients of q, k and v, from that of out: d_q (B, H, N, D), d_k (B, H_kv, M, D), d_v (B, H_kv, M, E) are
/// overwritten. Gradients of the activation's own parameters are added to `a.parameters().gradient`, that of a bias
/// to `options.bias.gradient`.
///
/// `out` and `saved` come from the forward pass, `options` are the same. Deterministic: the same bits for any number of
/// threads. Weights are computed anew; no N x M matrix is stored.
template <ExecutionSpace Exec, class A, class Q, class K, class V, class O, class T, class Memory, class DO, class DQ,
          class DK, class DV, Mask M = Full, class Norms = NoNorms, class Products = Fp32Products, class Bias = NoBias,
          class Dropout = NoDropout>
void attention_backward(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                        Saved<A, T, Memory> const& saved, DO const& d_out, DQ const& d_q, DK const& d_k, DV const& d_v,
                        AttentionOptions<M, Norms, Products, Bias, Dropout> const& options = {}) {
  ProfilingRegion const region("attn::attention_backward");
  Tensor const q_(q);
  Tensor const k_(k);
  Tensor const v_(v);
  Tensor const out_(out);
  Tensor const d_out_(d_out);
  Tensor const d_q_(d_q);
  Tensor const d_k_(d_k);
  Tensor const d_v_(d_v);
  detail::check_activation_concept<A, T>();
  detail::check_attention("attention_backward", q_, k_, v_, out_);
  detail::check_bias<T, Memory>("attention_backward", options.bias, q_, k_);
  detail::check_dropout<T>("attention_backward", options.dropout);
  detail::check_attention("attention_backward (gradients)", d_q_, d_k_, d_v_, d_out_);
  ATTN_CHECK(d_q_.extents() == q_.extents() && d_k_.extents() == k_.extents() && d_v_.extents() == v_.extents(),
             "attention_backward: give d_q, d_k and d_v the shapes of q, k and v");
  if (q_.size() > 0) detail::check_pointers<T>("attention_backward", a, options.mask);
  detail::check_saved("attention_backward", a, saved, q_, true);
  auto const check_apart = [&](char const* name, auto const& gradient, auto const&... others) {
    detail::check_apart("attention_backward", name, gradient, detail::Named{"q", q_}, detail::Named{"k", k_},
                        detail::Named{"v", v_}, detail::Named{"out", out_}, detail::Named{"d_out", d_out_}, others...);
  };
  check_apart("d_q", d_q_, detail::Named{"d_k", d_k_}, detail::Named{"d_v", d_v_});
  check_apart("d_k", d_k_, detail::Named{"d_v", d_v_});
  check_apart("d_v", d_v_);
  if constexpr (ErasedActivation<A>) {
    a.attend_backward(exec, q_, k_, v_, out_, saved, d_out_, d_q_, d_k_, d_v_, options);
  } else {
    detail::attention_gradients(exec, a, q_, k_, v_, out_, saved, d_out_, d_q_, d_k_, d_v_, options);
  }
}

}  // namespace attn
