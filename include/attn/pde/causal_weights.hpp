/// Weights of points that let a network learn what comes first before what follows from it.
#pragma once

#include "attn/pde/term_pass.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace attn::pde {

/// Weights for the points, or pairs, of a term of an equation in time, by how well it holds before them:
///
///     w(t) = exp(-epsilon sum over the times s < t of L(s))
///
/// where L(s) is the mean square of the residual over the points at s, summed over equations, and time is the last
/// coordinate (Wang, Sankaran and Perdikaris 2022, "Respecting causality is all you need for training
/// physics-informed neural networks"). The first time weighs 1; that all weigh about 1 says that the term is learned.
/// They are meant to be constants of a step: `term.weights = causal_weights<Orders>(...)`, then some iterations.
///
/// A forward pass over all points. Neither `term.weight` nor `term.weights` matter. Throws where `epsilon` is negative
/// or a residual is not finite.
template <class Ord, class Ctx, class Model, class R>
std::vector<double> causal_weights(Ctx& ctx, Model const& model, Term<R> const& term, LossOptions const& options,
                                   double epsilon) {
  ATTN_CHECK(epsilon >= 0 && std::isfinite(epsilon), "causal_weights: give an epsilon from 0 on, got ", epsilon);
  options.sequence.check();
  using JetCtx = nn::Context<typename Ctx::Space, typename Ord::template Jet<typename Ctx::Real>>;
  Term<R> plain = term;
  plain.weight = 1;
  plain.weights.clear();
  detail::TermPass<Ord, R, JetCtx> pass(plain, options);
  JetCtx jets(ctx);
  jets.keep_tape = true;
  if (pass.needs_columns()) pass.find_columns(jets, model);
  jets.training = jets.keep_tape = false;
  std::vector<double> r(pass.count());
  pass.evaluate(jets, model, r.data());

  std::size_t const groups = plain.points.size() / std::size_t(detail::partners<R, Ord>()),
                    of_group = r.size() / groups;
  std::vector<double> squares(groups, 0);  // of all steps and equations; their mean over the points is the term
  for (std::size_t i = 0; i < r.size(); ++i) squares[i / of_group] += r[i] * r[i] * double(groups);
  auto const time = [&](std::size_t group) { return plain.points[group][Ord::coordinates - 1]; };
  std::vector<std::size_t> order(groups);
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return time(a) < time(b); });

  std::vector<double> weights(groups);
  double before = 0;
  for (std::size_t begin = 0; begin < groups;) {
    std::size_t end = begin;
    double now = 0;
    for (; end < groups && time(order[end]) == time(order[begin]); ++end) {
      weights[order[end]] = std::exp(-epsilon * before);
      now += squares[order[end]];
    }
    ATTN_CHECK(std::isfinite(now), "causal_weights: the term \"", term.name, "\" became ", now, " at the time ",
               time(order[begin]));
    before += now / double(end - begin);
    begin = end;
  }
  return weights;
}

}  // namespace attn::pde
