// The training loop of train_pde: L-BFGS or Adam, metrics, checkpoints, Ctrl-C. It knows nothing of networks and
// equations, so it is compiled once.
#pragma once

#include "attn/pde/predict.hpp"

#include <array>
#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "pde/settings.hpp"

namespace train_pde {

namespace pde = attn::pde;

using Context = attn::nn::Context<Kokkos::DefaultExecutionSpace>;

/// A loss, whatever network and equation it is of.
struct Loss {
  struct Value {
    double total = 0;
    std::vector<double> terms;  // each with its weight
  };
  using Weights = std::array<double, 3>;  // of the residual, of the boundary, of initial and measured values

  std::vector<std::string> names;  // of the terms
  /// With factors on the terms' own weights; leaves the gradient in the context's parameters.
  std::function<Value(Weights const&)> evaluate;
  /// The weights with which no term's tangent kernel dominates: trace of all over trace of the term. The residual's
  /// trace is estimated from 300 points that are drawn for the given step.
  std::function<Weights(int step)> tangent_kernel_weights;
};

/// How a run went.
struct Outcome {
  int steps = 0;
  int evaluations = 0;
  double seconds = 0;
  double loss = 0;
  std::vector<std::pair<std::string, double>> terms;
  std::vector<double> losses;  // after each step
  bool finished = true;
  int exit_code = 0;
};

Outcome train(Settings const& settings, Context& ctx, Loss const& loss);

namespace detail {

inline std::size_t kind_of(std::string const& term) { return term == "residual" ? 0 : term == "boundary" ? 1 : 2; }

template <class Ord, class Model, class Terms>
Loss::Weights tangent_kernel_weights(Settings const& s, Context& ctx, Model const& model, Terms const& terms,
                                     int step) {
  Loss::Weights traces{}, weights{};
  bool seen_initial = false;
  auto const add = [&](auto const& term) {
    std::size_t const kind = kind_of(term.name);
    if (kind == 2 && std::exchange(seen_initial, true)) return;  // the points at t = 0 count once
    pde::Points points = term.points;
    if (kind == 0 && points.size() > 300) {
      pde::Points drawn{.dimensions = points.dimensions, .coordinates = {}};
      attn::RandomKey const key = attn::subkey({.seed = s.common.seed}, std::uint64_t(step));
      for (std::uint64_t i = 0; i < 300; ++i) {
        double const* const p = points[attn::random_bits64(key, i) % points.size()];
        drawn.coordinates.insert(drawn.coordinates.end(), p, p + points.dimensions);
      }
      points = drawn;
    }
    traces[kind] += pde::tangent_kernel_trace<Ord>(ctx, model, points, s.loss_options().sequence);
  };
  std::apply([&](auto const&... term) { (add(term), ...); }, terms);
  double const all = traces[0] + traces[1] + traces[2];
  for (std::size_t k = 0; k < 3; ++k) weights[k] = traces[k] > 0 ? all / traces[k] : 1;
  return weights;
}

}  // namespace detail

/// The loss that consists of `terms`, a tuple of `pde::Term`s. `ctx` must outlive it.
template <class Ord, class Model, class Terms>
Loss make_loss(Settings const& s, Context& ctx, Model const& model, Terms terms) {
  std::apply([&](auto&... term) { ((term.weight *= s.weight(term.name)), ...); }, terms);
  Loss loss;
  std::apply([&](auto const&... term) { (loss.names.push_back(term.name), ...); }, terms);
  loss.evaluate = [&ctx, s, model, terms](Loss::Weights const& weights) {
    Terms weighted = terms;
    std::apply([&](auto&... term) { ((term.weight *= weights[detail::kind_of(term.name)]), ...); }, weighted);
    auto const value = pde::loss_and_gradient<Ord>(ctx, model, weighted, s.loss_options());
    return Loss::Value{value.total, {value.terms.begin(), value.terms.end()}};
  };
  loss.tangent_kernel_weights = [&ctx, s, model, terms](int step) {
    return detail::tangent_kernel_weights<Ord>(s, ctx, model, terms, step);
  };
  return loss;
}

}  // namespace train_pde
