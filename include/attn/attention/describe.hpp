/// describe: which kernel serves a call of attention.
#pragma once

#include "attn/attention/build_advice.hpp"
#include "attn/attention/detail/dispatch.hpp"

namespace attn {

/// The name of the kernel that `attention(exec, a, q, k, v, out, options)` runs, or the backward pass of that call, for
/// people and for profiles: the name of the region that Kokkos' profiling tools see. For instance
/// "attn::attention (host, 8 keys x 3 x 16 queries, fp32)", or "attn::attention (host, linear in tokens, 48 at a time,
/// fp32)" where sums of products take the place of weights (`AttentionPath`). Gradients are taken to lie in memory as
/// q, k, v and out do. For an activation that is chosen at run time, what it holds is named behind that: "... of
/// attn::Softmax". Where the program's own flags make it slow, it ends with `build_advice()`.
template <Pass pass = Pass::forward, ExecutionSpace Exec, class A, class Q, class K, class V, class O, Mask M = Full,
          class Norms = NoNorms, class Products = Fp32Products, class Bias = NoBias, class Dropout = NoDropout>
std::string describe(Exec const& exec, [[maybe_unused]] A const& a, Q const& q, K const& k, V const& v, O const& out,
                     AttentionOptions<M, Norms, Products, Bias, Dropout> const& options = {}) {
  Tensor const q_(q);
  Tensor const k_(k);
  Tensor const v_(v);
  Tensor const out_(out);
  if constexpr (ErasedActivation<A>) {
    return a.describe(pass, exec, q_, k_, v_, out_, options);
  } else if constexpr (pass == Pass::forward) {
    return detail::with_build_advice(detail::choice_of<pass>(exec, a, options, q_, k_, v_, out_).region);
  } else {
    return detail::with_build_advice(
        detail::choice_of<pass>(exec, a, options, q_, k_, v_, out_, out_, q_, k_, v_).region);
  }
}

/// `describe(Pass::backward, exec, a, q, k, v, out, options)`.
template <ExecutionSpace Exec, class... Call>
std::string describe(Pass pass, Exec const& exec, Call const&... call) {
  return pass == Pass::forward ? describe<Pass::forward>(exec, call...) : describe<Pass::backward>(exec, call...);
}

}  // namespace attn
