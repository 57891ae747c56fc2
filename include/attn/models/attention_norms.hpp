/// AttentionNorms: what models report of the attention matrices of a layer.
#pragma once

#include "attn/core/tensor.hpp"
#include "attn/core/workspace.hpp"

#include <cmath>
#include <vector>

namespace attn::models {

/// Of one layer: the norm of the attention matrix, and that of its Jacobian with respect to the scores; Frobenius
/// norms, averaged over samples and heads.
struct AttentionNorms {
  double frobenius = 0;
  double jacobian = 0;
};

namespace detail {

/// The mean of the roots of squared norms (B, H). Waits for the result.
template <class Ctx, class Squares>
double mean_root(Ctx& ctx, Squares const& squares) {
  using R = typename Ctx::Real;
  std::vector<R> host(static_cast<std::size_t>(squares.size()));
  Kokkos::deep_copy(ctx.exec, Kokkos::View<R*, Kokkos::HostSpace>(host.data(), host.size()),
                    Kokkos::View<R*, typename Ctx::MemorySpace>(squares.data(), host.size()));
  ctx.exec.fence("attn::attention_norms");
  double sum = 0;
  for (auto const square : host) sum += std::sqrt(static_cast<double>(square));
  return host.empty() ? 0 : sum / static_cast<double>(host.size());
}

/// The norms of an attention module from its tape, computed anew.
template <class Ctx, class Attention, class Tape>
AttentionNorms norms_of(Ctx& ctx, Attention const& attention, Tape const& tape) {
  typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
  auto const squares = attention.norms(ctx, tape);
  return {mean_root(ctx, squares.frobenius), mean_root(ctx, squares.jacobian)};
}

}  // namespace detail
}  // namespace attn::models
