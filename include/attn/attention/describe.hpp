/// describe: which kernel serves a call of attention.
#pragma once

#include "attn/attention/detail/dispatch.hpp"

namespace attn {

/// The name of the kernel that `attention(exec, a, q, k, v, out, options)` runs, for people and for profiles: a region
/// of Kokkos' profiling tools and the kernel itself carry it. For instance
/// "attn::attention (host, 8 keys x 3 x 16 queries, fp32)".
template <ExecutionSpace Exec, class A, class Q, class K, class V, class O, Mask M = Full, class Norms = NoNorms,
          class Products = Fp32Products, class Bias = NoBias>
std::string describe([[maybe_unused]] Exec const& exec, A const&, [[maybe_unused]] Q const& q,
                     [[maybe_unused]] K const& k, [[maybe_unused]] V const& v, O const& out,
                     AttentionOptions<M, Norms, Products, Bias> const& = {}) {
  using Stored = typename decltype(Tensor(out))::Scalar;
  if constexpr (detail::forwards_on_host<Exec, A, Stored, Norms>) {
    return detail::host_kernel_name<AccumulatorOf<Stored>>("attention");
  } else {
#if defined(KOKKOS_ENABLE_CUDA)
    if constexpr (detail::may_use_tensor_cores<Exec, Bias, decltype(Tensor(q)), decltype(Tensor(v)),
                                               decltype(Tensor(out))>) {
      std::string const name = detail::cuda::serving_kernel<detail::cuda::format_for<Stored, Products>>(
          exec, Tensor(q), Tensor(k), Tensor(v), Tensor(out));
      if (!name.empty()) return name;
    }
#endif
    return "attn::attention (team)";
  }
}

}  // namespace attn
