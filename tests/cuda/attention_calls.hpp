/// Calls every kernel behind `attention` and `attention_backward` for one set of types, so that the compiler for the
/// device sees it.
#pragma once

#include "attn/activation/activation.hpp"
#include "attn/attention/attention.hpp"

namespace attn_cuda {

using Exec = Kokkos::Cuda;
using Memory = Exec::memory_space;

template <class Scalar>
using View = Kokkos::View<Scalar****, Kokkos::LayoutRight, Memory>;

template <class Scalar, class A, class Options = attn::AttentionOptions<>>
void attend(A const& a, View<Scalar> const& x, Options const& options = {}) {
  Exec const exec;
  auto const saved = attn::attention(exec, a, x, x, x, x, options);
  attn::attention_backward(exec, a, x, x, x, x, saved, x, x, x, x, options);
}

template <class Scalar>
using Norms = attn::AttentionNorms<attn::RealOf<attn::AccumulatorOf<Scalar>>, Memory>;

/// Norms, by the forward pass alone.
template <class Scalar, class A>
void attend_with_norms(A const& a, View<Scalar> const& x) {
  attn::attention(Exec(), a, x, x, x, x, attn::AttentionOptions<attn::Full, Norms<Scalar>>{});
}

}  // namespace attn_cuda
