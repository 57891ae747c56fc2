/// Which kernel serves a call of attention.
#pragma once

#include "attn/attention/detail/host/backward.hpp"
#include "attn/attention/detail/host/forward.hpp"
#include "attn/attention/detail/team/attention.hpp"
#include "attn/attention/saved.hpp"

#if defined(KOKKOS_ENABLE_CUDA)
#include "attn/attention/detail/cuda/attention.hpp"
#endif

namespace attn::detail {

/// Whether the kernels for packs serve a call: they want real numbers, perhaps stored narrow, in memory of the host,
/// and an activation that takes packs. The portable ones serve every other scalar (jets) and every other space.
template <class Exec, class A, class Stored>
inline constexpr bool serves_on_host = false;
template <HostExecutionSpace Exec, class A, class Stored>
requires(has_packs&& Real<AccumulatorOf<Stored>>) inline constexpr bool serves_on_host<Exec, A, Stored> =
    Activation<A, Pack<AccumulatorOf<Stored>>>;

/// The packed kernel gathers norms while it gathers a row, and needs a form of the row's Jacobian that allows it.
template <class Exec, class A, class Stored, class Norms>
inline constexpr bool forwards_on_host = false;
template <class Exec, class A, class Stored, class Norms>
requires serves_on_host<Exec, A, Stored>
inline constexpr bool forwards_on_host<Exec, A, Stored, Norms> =
    !wants_norms<Norms> || NormsFollowFromSums<A, Pack<AccumulatorOf<Stored>>>;

/// Whether tensor cores may serve a call; widths and the device decide when it is made. The portable kernels serve
/// double and jets, biases, and what tensor cores decline.
template <class Exec, class Bias, class... Tensors>
inline constexpr bool may_use_tensor_cores = false;
#if defined(KOKKOS_ENABLE_CUDA)
template <class... Tensors>
inline constexpr bool may_use_tensor_cores<Kokkos::Cuda, NoBias, Tensors...> = cuda::are_of_one_kind<Tensors...>;
#endif

template <class T>
std::string host_kernel_name(std::string const& function) {
  int const rows = host::block_rows(host::query_packs);
  return "attn::" + function + " (host, " + std::to_string(rows) + " keys x " + std::to_string(host::query_packs) +
         " x " + std::to_string(host::pack_width<T>) + " queries, " + (sizeof(T) == 4 ? "fp32" : "fp64") + ")";
}

template <class Exec, class A, class Q, class K, class V, class O, class Saved, class Options>
void attention_forward(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                       Saved const& saved, Options const& options) {
  using T = AccumulatorOf<typename O::Scalar>;
  if constexpr (forwards_on_host<Exec, A, typename O::Scalar, decltype(options.norms)>) {
    static std::string const name = host_kernel_name<T>("attention");
    ProfilingRegion const region(name);
    using Block = host::ForwardBlock<T, A, Q, K, V, O, Saved, Options>;
    host::Forward<T, Block>{Block{a, q, k, v, out, saved, options}}.run(name, exec);
  } else {
#if defined(__CUDACC__) && defined(KOKKOS_ENABLE_CUDA)
    if constexpr (may_use_tensor_cores<Exec, decltype(options.bias), Q, K, V, O>) {
      if (cuda::forward(exec, a, q, k, v, out, saved, options)) {
        return team_attention_norms(exec, a, q, k, saved, options);
      }
    }
#endif
    team_attention_forward(exec, a, q, k, v, out, saved, options);
  }
}

template <class Exec, class A, class Q, class K, class V, class O, class Saved, class DO, class DQ, class DK, class DV,
          class Options>
void attention_gradients(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                         Saved const& saved, DO const& d_out, DQ const& d_q, DK const& d_k, DV const& d_v,
                         Options const& options) {
  if constexpr (serves_on_host<Exec, A, typename O::Scalar>) {
    using T = AccumulatorOf<typename O::Scalar>;
    static std::string const name = host_kernel_name<T>("attention_backward");
    ProfilingRegion const region(name);
    using Block = host::BackwardBlock<T, A, Q, K, V, O, Saved, DO, DQ, DK, DV, Options>;
    host::Backward<T, Block>{Block{a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options}}.run(name, exec);
  } else {
#if defined(__CUDACC__) && defined(KOKKOS_ENABLE_CUDA)
    if constexpr (may_use_tensor_cores<Exec, decltype(options.bias), Q, K, V, O, DO, DQ, DK, DV>) {
      if (cuda::backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options)) return;
    }
#endif
    team_attention_backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
  }
}

}  // namespace attn::detail
