/// Attention with any activation, forward and backward.
///
///   out_i = sum_j a(s_ij) v_j     with s_ij = score_scale q_i.k_j (+ bias_ij) over the keys j that the mask shows to
///                                 query i
#pragma once

#include "attn/attention/detail/dispatch.hpp"
#include "attn/attention/detail/pointers.hpp"
#include "attn/attention/saved.hpp"

namespace attn {

namespace detail {

/// What every entry point checks about shapes; H must be a multiple of H_kv.
template <class Q, class K, class V, class O>
void check_attention(char const* function, Q const& q, K const& k, V const& v, O const& out) {
  static_assert(Q::rank == 4 && K::rank == 4 && V::rank == 4 && O::rank == 4,
                "attention: pass q, k, v and out as tensors or views of rank 4: (batch, heads, tokens, width)");
  auto const shape = [](auto const& t) {
    std::ostringstream s;
    s << "(" << t.extent(0) << ", " << t.extent(1) << ", " << t.extent(2) << ", " << t.extent(3) << ")";
    return s.str();
  };
  ATTN_CHECK(q.extent(0) == k.extent(0) && k.extent(0) == v.extent(0) && v.extent(0) == out.extent(0), function,
             ": give q, k, v and out the same batch size; got q ", shape(q), ", k ", shape(k), ", v ", shape(v),
             ", out ", shape(out));
  ATTN_CHECK(q.extent(3) == k.extent(3), function, ": give q and k the same width D; got q ", shape(q), ", k ",
             shape(k));
  ATTN_CHECK(k.extent(1) == v.extent(1) && k.extent(2) == v.extent(2), function,
             ": give k and v the same heads and keys; got k ", shape(k), ", v ", shape(v));
  ATTN_CHECK(k.extent(1) > 0 ? q.extent(1) % k.extent(1) == 0 : q.extent(1) == 0, function,
             ": make the query heads a multiple of the key heads; got q ", shape(q), ", k ", shape(k));
  ATTN_CHECK(out.extent(1) == q.extent(1) && out.extent(2) == q.extent(2) && out.extent(3) == v.extent(3), function,
             ": out must be (B, H, N, E); got q ", shape(q), ", v ", shape(v), ", out ", shape(out));
  auto const check_stride = [&](char const* name, auto const& t) {
    ATTN_CHECK(t.stride(3) == 1 || t.extent(3) <= 1 || t.size() == 0, function, ": give ", name,
               " a last stride of 1 (a LayoutRight view has it); got ", t.stride(3));
  };
  check_stride("q", q);
  check_stride("k", k);
  check_stride("v", v);
  check_stride("out", out);
}

template <class T, class Memory, class Q, class K>
void check_bias(char const*, NoBias const&, Q const&, K const&) {}
template <class T, class Memory, class R, class BiasMemory, class Q, class K>
void check_bias(char const* function, ScoreBias<R, BiasMemory> const& bias, Q const& q, K const& k) {
  static_assert(std::same_as<R, T> && std::same_as<BiasMemory, Memory>,
                "attention: give a ScoreBias in the memory of q, and of double for tensors of double, of float for "
                "others; jets take none");
  auto const check = [&](char const* name, auto const& x) {
    ATTN_CHECK(x.extent(2) == q.extent(2) && x.extent(3) == k.extent(2), function, ": give the bias's ", name,
               " a shape of (., ., ", q.extent(2), ", ", k.extent(2), "), got (., ., ", x.extent(2), ", ", x.extent(3),
               ")");
    ATTN_CHECK(x.extent(0) > 0 && q.extent(0) % x.extent(0) == 0 && (x.extent(1) == 1 || x.extent(1) == q.extent(1)),
               function, ": give the bias's ", name, " a batch that divides ", q.extent(0), " and 1 or ", q.extent(1),
               " heads, got (", x.extent(0), ", ", x.extent(1), ")");
    ATTN_CHECK(x.stride(3) == 1 || x.extent(3) <= 1, function, ": give the bias's ", name, " a last stride of 1; got ",
               x.stride(3));
  };
  check("values", bias.values);
  if (bias.gradient.data() == nullptr) return;
  check("gradient", bias.gradient);
  ATTN_CHECK(bias.gradient.extents() == bias.values.extents(), function,
             ": give the bias's gradient the shape of its values");
}

template <class A, class T>
constexpr void check_activation_concept() {
  static_assert(Activation<A, T> || ErasedActivation<A>,
                "attention: the activation must be pointwise, template <class T> ATTN_FUNCTION T operator()(T score, "
                "attn::Row row) const, or row-normalised, with Stats, absorb, numerator, normalizer and pullback: see "
                "attn/activation/concepts.hpp");
}

}  // namespace detail

/// q (B, H, N, D), k (B, H_kv, M, D), v (B, H_kv, M, E) -> out (B, H, N, E).
///
/// Tensors or Kokkos views of any strides with a unit last stride; H a multiple of H_kv. A query that sees no key gets
/// zero. O(B H N M (D + E)) less what the mask skips; no N x M matrix is stored. Asynchronous on `exec`. `saved` is
/// filled with what `attention_backward` needs. Throws `attn::Error` where the shapes do not fit.
template <ExecutionSpace Exec, class A, class Q, class K, class V, class O, class T, class Memory, Mask M = Full,
          class Norms = NoNorms, class Products = Fp32Products, class Bias = NoBias>
void attention(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
               Saved<A, T, Memory> const& saved, AttentionOptions<M, Norms, Products, Bias> const& options = {}) {
  ProfilingRegion const region("attn::attention");
  Tensor const q_(q);
  Tensor const k_(k);
  Tensor const v_(v);
  Tensor const out_(out);
  detail::check_activation_concept<A, T>();
  detail::check_attention("attention", q_, k_, v_, out_);
  detail::check_bias<T, Memory>("attention", options.bias, q_, k_);
  // Not E: the statistics of the rows are wanted. And the norms of a matrix without rows are zero.
  if (out_.extent(0) * out_.extent(1) == 0 || (out_.extent(2) == 0 && !detail::wants_norms<Norms>)) return;
  detail::check_pointers<T>("attention", a, options.mask);
  if constexpr (ErasedActivation<A>) {
    a.attend(exec, q_, k_, v_, out_, saved, options);
  } else {
    detail::attention_forward(exec, a, q_, k_, v_, out_, saved, options);
  }
}

/// The same, with memory of its own for what is saved: `auto saved = attention(exec, Softmax{}, q, k, v, out);`
template <ExecutionSpace Exec, class A, class Q, class K, class V, class O, Mask M = Full, class Norms = NoNorms,
          class Products = Fp32Products, class Bias = NoBias>
auto attention(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
               AttentionOptions<M, Norms, Products, Bias> const& options = {}) {
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
          class DK, class DV, Mask M = Full, class Norms = NoNorms, class Products = Fp32Products, class Bias = NoBias>
void attention_backward(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                        Saved<A, T, Memory> const& saved, DO const& d_out, DQ const& d_q, DK const& d_k, DV const& d_v,
                        AttentionOptions<M, Norms, Products, Bias> const& options = {}) {
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
  detail::check_attention("attention_backward (gradients)", d_q_, d_k_, d_v_, d_out_);
  ATTN_CHECK(d_q_.extents() == q_.extents() && d_k_.extents() == k_.extents() && d_v_.extents() == v_.extents(),
             "attention_backward: give d_q, d_k and d_v the shapes of q, k and v");
  if (q_.size() > 0) detail::check_pointers<T>("attention_backward", a, options.mask);
  if constexpr (ErasedActivation<A>) {
    a.attend_backward(exec, q_, k_, v_, out_, saved, d_out_, d_q_, d_k_, d_v_, options);
  } else {
    detail::attention_gradients(exec, a, q_, k_, v_, out_, saved, d_out_, d_q_, d_k_, d_v_, options);
  }
}

}  // namespace attn
