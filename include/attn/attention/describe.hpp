/// describe: which kernel serves a call of attention.
#pragma once

#include "attn/attention/detail/dispatch.hpp"

namespace attn {

/// The name of the kernel that `attention(exec, a, q, k, v, out, options)` runs, for people and for profiles: a region
/// of Kokkos' profiling tools and the kernel itself carry it. For instance
/// "attn::attention (host, 8 keys x 3 x 16 queries, fp32)".
template <ExecutionSpace Exec, class A, class Q, class K, class V, class O, Mask M = Full, class Norms = NoNorms>
std::string describe(Exec const&, A const&, Q const&, K const&, V const&, O const& out,
                     AttentionOptions<M, Norms> const& = {}) {
  using Stored = typename decltype(Tensor(out))::Scalar;
  if constexpr (detail::forwards_on_host<Exec, A, Stored, Norms>) {
    return detail::host_kernel_name<AccumulatorOf<Stored>>("attention");
  } else {
    return "attn::attention (team)";
  }
}

}  // namespace attn
