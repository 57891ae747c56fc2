/// Which kernel serves a call of attention.
#pragma once

#include "attn/attention/detail/team_attention.hpp"
#include "attn/attention/reference.hpp"
#include "attn/attention/saved.hpp"

namespace attn::detail {

/// Whether the kernels for packs of reals on the host serve a call; the portable ones serve every other scalar (jets,
/// narrow storage) and every space whose memory the host cannot use.
template <class Exec, class Scalar>
inline constexpr bool serves_on_host = HostExecutionSpace<Exec> && Real<Scalar>;

template <class Exec, class A, class Q, class K, class V, class O, class Saved, class Options>
void attention_forward(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                       Saved const& saved, Options const& options) {
  if constexpr (serves_on_host<Exec, typename O::Scalar>) {
    exec.fence();
    (void)saved;
    reference::attention(a, q, k, v, out, options);
  } else {
    team_attention_forward(exec, a, q, k, v, out, saved, options);
  }
}

template <class Exec, class A, class Q, class K, class V, class O, class Saved, class DO, class DQ, class DK, class DV,
          class Options>
void attention_gradients(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                         Saved const& saved, DO const& d_out, DQ const& d_q, DK const& d_k, DV const& d_v,
                         Options const& options) {
  if constexpr (serves_on_host<Exec, typename O::Scalar>) {
    exec.fence();
    (void)saved, (void)out;
    reference::attention_backward(a, q, k, v, d_out, d_q, d_k, d_v, options);
  } else {
    team_attention_backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
  }
}

}  // namespace attn::detail
