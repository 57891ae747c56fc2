/// Attention by the portable kernels: any scalar, any execution space.
#pragma once

#include "attn/attention/detail/launch_memory.hpp"
#include "attn/attention/detail/team/bias_gradient.hpp"
#include "attn/attention/detail/team/key_gradient.hpp"
#include "attn/attention/detail/team/norms.hpp"
#include "attn/attention/detail/team/parameter_sum.hpp"
#include "attn/attention/detail/team/query_gradient.hpp"
#include "attn/attention/reference.hpp"
#include "attn/attention/saved.hpp"

namespace attn::detail {

template <class Saved>
auto saved_rows(Saved const& saved) {
  if constexpr (requires { saved.rows(); }) {
    return saved.rows().data();
  } else {
    return static_cast<NoStats*>(nullptr);
  }
}

/// Norms of a forward pass whose statistics are saved. What tiles of queries make goes into `most_bytes`, or, where
/// that is less, a number for each head.
template <class Exec, class A, class Q, class K, class Saved, class Options>
void team_attention_norms(Exec const& exec, A const& a, Q const& q, K const& k, Saved const& saved,
                          Options const& options, Index most_bytes = most_launch_bytes) {
  using T = AccumulatorOf<typename Q::Scalar>;
  using Norms = decltype(options.norms);
  if constexpr (!std::same_as<Norms, NoNorms>) {
    static_assert(Real<T>, "attention: ask for norms of real tensors only, not of jets");
    ATTN_CHECK((!RowActivation<A, T> || saved_rows(saved) != nullptr || q.extent(2) == 0),
               "attention: give `saved` memory to get norms");
    Index const heads = q.extent(0) * q.extent(1), share_bytes = 2 * Index(sizeof(T)) * heads;
    Index const room = std::clamp<Index>(most_bytes / std::max<Index>(share_bytes, 1), 1,
                                         std::max(1, tiles_of(q.extent(2), smallest_team_tile)));
    LaunchMemory<Exec> const memory(exec, share_bytes * room);
    T* const shares = reinterpret_cast<T*>(memory.data());
    int const tile = launch_teams(exec, "attn::attention norms (team)", q.extent(2), k.extent(2),
                                  TeamNorms<Exec, T, A, Q, K, decltype(options.mask), Norms, decltype(options.bias)>{
                                      a, q, k, saved_rows(saved), options.mask, options.norms, options.bias,
                                      reference::detail::score_scale<T>(options, q.extent(3)), shares, room});
    Index const n_shares = std::min<Index>(tiles_of(q.extent(2), tile), room);
    using Result = std::remove_cvref_t<decltype(options.norms.frobenius)>;
    launch_teams(exec, "attn::attention norms of heads (team)", 1, 1,
                 TeamNormSum<Exec, T, Result>{shares, int(n_shares), options.norms.frobenius, options.norms.jacobian,
                                              int(q.extent(1)), heads});
  }
}

/// See `attention`.
template <class Exec, class A, class Q, class K, class V, class O, class Saved, class Options>
void team_attention_forward(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                            Saved const& saved, Options const& options) {
  using T = AccumulatorOf<typename O::Scalar>;
  using M = decltype(options.mask);
  RealOf<T> const scale = reference::detail::score_scale<T>(options, q.extent(3));
  Index const n = q.extent(2), m = k.extent(2);
  launch_teams(exec, "attn::attention (team)", n, m,
               TeamForward<Exec, T, A, Q, K, V, O, M, decltype(options.bias), decltype(options.dropout)>{
                   a, q, k, v, out, saved_rows(saved), options.mask, options.bias, options.dropout, scale});
  team_attention_norms(exec, a, q, k, saved, options);
}

/// The place for the parts of the gradients of the activation's parameters; null where nobody wants them.
template <class T, class A, class Saved>
RealOf<T>* parameter_parts(A const& a, Saved const& saved, bool is_empty) {
  if constexpr (parameter_count < A, T >> 0) {
    if (a.parameters().gradient != nullptr) {
      ATTN_CHECK(saved.parts() != nullptr || is_empty,
                 "attention_backward: give `saved` memory to get the gradients of the activation's parameters");
      return saved.parts();
    }
  }
  return nullptr;
}

/// Adds the parts, which lie in `place`, to the gradients of the parameters. `out` (B, H, N, E): of the call.
template <class T, class Exec, class A, class O>
void add_parameter_parts(Exec const& exec, A const& a, RealOf<T> const* parts, O const& out,
                         ParameterParts const& place) {
  if constexpr (parameter_count < A, T >> 0) {
    auto const parameters = a.parameters();
    if (parameters.gradient == nullptr || out.size() == 0) return;
    launch_teams(exec, "attn::attention_backward of parameters (team)", 1, 1,
                 TeamParameterSum<Exec, RealOf<T>, std::remove_pointer_t<decltype(parameters.gradient)>>{
                     parts, parameters.gradient, place, int(out.extent(0)), A::n_parameters, parameters.per_head});
  }
}
/// The same of `tiles` tiles of queries of each head.
template <class T, class Exec, class A, class O>
void add_parameter_parts(Exec const& exec, A const& a, RealOf<T> const* parts, O const& out, int tiles) {
  add_parameter_parts<T>(exec, a, parts, out, ParameterParts{int(out.extent(1)), int(out.extent(2)), tiles});
}

/// See `attention_backward`.
template <class Exec, class A, class Q, class K, class V, class O, class Saved, class DO, class DQ, class DK, class DV,
          class Options>
void team_attention_backward(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                             Saved const& saved, DO const& d_out, DQ const& d_q, DK const& d_k, DV const& d_v,
                             Options const& options) {
  using T = AccumulatorOf<typename O::Scalar>;
  using R = RealOf<T>;
  using M = decltype(options.mask);
  using Bias = decltype(options.bias);
  using Inputs = TeamBackwardInputs<A, Q, K, V, O, DO, M, Bias, StatsOf<A, T>, R, decltype(options.dropout)>;
  Index const n = q.extent(2), m = k.extent(2);
  Inputs const inputs{a,
                      q,
                      k,
                      v,
                      out,
                      d_out,
                      saved_rows(saved),
                      options.mask,
                      options.bias,
                      reference::detail::score_scale<T>(options, q.extent(3)),
                      options.dropout};
  R* const parts = parameter_parts<T>(a, saved, out.size() == 0);
  TeamQueryGradient<Exec, T, Inputs, DQ> d_q_kernel{inputs, d_q, parts};
  int const tile = launch_teams(exec, "attn::attention_backward of queries (team)", n, m, d_q_kernel);
  launch_teams(exec, "attn::attention_backward of keys (team)", m, n,
               TeamKeyGradient<Exec, T, Inputs, DK, DV>{inputs, d_k, d_v});
  if constexpr (!std::same_as<Bias, NoBias>) {
    auto const& d_bias = options.bias.gradient;
    if (d_bias.data() != nullptr) {
      launch_teams(exec, "attn::attention_backward of a bias (team)", n, m,
                   TeamBiasGradient<Exec, T, Inputs, std::remove_cvref_t<decltype(d_bias)>>{inputs, d_bias});
    }
  }
  add_parameter_parts<T>(exec, a, parts, out, tiles_of(n, tile));
}

}  // namespace attn::detail
