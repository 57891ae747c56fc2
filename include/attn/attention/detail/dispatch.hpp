/// Which kernel serves a call of attention.
#pragma once

#include "attn/attention/reference.hpp"
#include "attn/attention/saved.hpp"

namespace attn::detail {

template <class Exec, class A, class Q, class K, class V, class O, class Saved, class Options>
void attention_forward(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                       Saved const& saved, Options const& options) {
  exec.fence();
  (void)saved;
  reference::attention(a, q, k, v, out, options);
}

template <class Exec, class A, class Q, class K, class V, class O, class Saved, class DO, class DQ, class DK, class DV,
          class Options>
void attention_gradients(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                         Saved const& saved, DO const& d_out, DQ const& d_q, DK const& d_k, DV const& d_v,
                         Options const& options) {
  exec.fence();
  (void)saved, (void)out;
  reference::attention_backward(a, q, k, v, d_out, d_q, d_k, d_v, options);
}

}  // namespace attn::detail
