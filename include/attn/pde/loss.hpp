/// The loss of a network that should solve a differential equation, and its gradient, in one forward and one backward
/// pass of jets.
#pragma once

#include "attn/pde/term_pass.hpp"

#include <array>
#include <tuple>

namespace attn::pde {

/// The value of a loss and of its terms, each times its weight.
template <std::size_t N>
struct LossValue {
  double total = 0;
  std::array<double, N> terms{};
};

/// sum over terms of weight * mean(residual^2), and its gradient in `ctx.parameters.gradients()`, which is overwritten.
///
/// `Ord` is the problem's `Orders`. The network's jets keep the coefficients that the terms ask for and no others:
/// three planes for u, u_x and u_t, two for u and `along(u, beta, 1)`. Memory is that of one chunk of points, and is
/// reused.
template <class Ord, class Ctx, class Model, class... R>
LossValue<sizeof...(R)> loss_and_gradient(Ctx& ctx, Model const& model, std::tuple<Term<R>...> const& terms,
                                          LossOptions const& options) {
  ProfilingRegion const region("attn::pde::loss_and_gradient");
  options.sequence.check();
  using JetCtx = nn::Context<typename Ctx::Space, typename Ord::template Jet<typename Ctx::Real>>;
  JetCtx jets(ctx);
  jets.keep_tape = true;
  std::tuple<detail::TermPass<Ord, R, JetCtx>...> passes = std::apply(
      [&](auto const&... term) { return std::make_tuple(detail::TermPass<Ord, R, JetCtx>(term, options)...); }, terms);
  std::apply([&](auto&... pass) { ((pass.needs_columns() ? pass.find_columns(jets, model) : void()), ...); }, passes);
  ctx.parameters.zero_gradients(ctx.exec);
  LossValue<sizeof...(R)> value;
  [&]<std::size_t... I>(std::index_sequence<I...>) { ((value.terms[I] = std::get<I>(passes).add(jets, model)), ...); }
  (std::index_sequence_for<R...>());
  for (double const term : value.terms) value.total += term;
  return value;
}

}  // namespace attn::pde
