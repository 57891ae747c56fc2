// The training loop of train_pde: optimizers one after the other, metrics, checkpoints, Ctrl-C. It knows nothing of
// networks and equations, so it is compiled once.
#pragma once

#include "attn/pde/causal_weights.hpp"
#include "attn/pde/predict.hpp"
#include "attn/pde/residuals.hpp"
#include "attn/pde/share.hpp"
#include "attn/train/distributed/world.hpp"
#include "attn/train/metrics.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
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

  /// The same as an `optim::LeastSquares` problem.
  struct Squares {
    std::function<std::size_t()> size;
    std::function<void(std::vector<double>& r)> residuals;
    std::function<void(std::vector<double> const& w)> pull_back;
    std::function<std::string(std::size_t i)> describe;
    std::function<std::vector<double>(std::vector<double> const& r)> sums;
    std::function<std::vector<std::size_t>()> sum_sizes;  // of each term
    std::function<void(std::function<void()> const& row)> for_rows;
    std::function<std::vector<double>(std::vector<double> const& r)> terms;
  };

  std::vector<std::string> names;  // of the terms
  attn::io::Json identity;         // whether ranks have the same points
  /// With factors on the terms' own weights; leaves the gradient in the context's parameters.
  std::function<Value(Weights const&)> evaluate;
  /// Of `points` points of each term, drawn for the given step; 0: of all.
  std::function<Squares(Weights const&, int points, int step)> squares;
  /// The weights with which no term's tangent kernel dominates: trace of all over trace of the term. The residual's
  /// trace is estimated from 300 points that are drawn for the given step.
  std::function<Weights(int step)> tangent_kernel_weights;
  /// From now on the equation's points have the weights of pde/causal_weights.hpp, by the network as it is. Returns the
  /// least of them.
  std::function<double(double epsilon)> weigh_by_time;
};

/// How a run went.
struct Outcome {
  int steps = 0;
  int evaluations = 0;
  double seconds = 0;
  double loss = 0;
  std::vector<std::pair<std::string, double>> terms;
  attn::train::Metrics seconds_of;  // each kind of work, for results.json
  bool finished = true;
  int exit_code = 0;
};

/// How far the network is from the truth, by numbers that training looks at and never uses.
struct Watch {
  std::vector<std::string> names;
  std::function<std::vector<double>()> errors;
};

/// On each of the ranks that share the points.
Outcome train(Settings const& settings, Context& ctx, Loss const& loss, Watch const& watch, attn::train::World& world);

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

inline std::uint64_t identity_of(pde::Points const& points) {
  auto const sum = [](std::uint64_t before, std::vector<double> const& numbers) {
    std::string_view const bytes(reinterpret_cast<char const*>(numbers.data()), numbers.size() * sizeof(double));
    return attn::subkey(attn::RandomKey{.seed = before}, bytes).stream;
  };
  return sum(sum(0, points.coordinates), points.data);
}

}  // namespace detail

/// The loss that consists of `terms`, a tuple of `pde::Term`s, whose points the ranks of `world` share. `ctx` and
/// `world` must outlive it.
template <class Ord, class Model, class Terms>
Loss make_loss(Settings const& s, Context& ctx, Model const& model, Terms terms, attn::train::World& world) {
  std::apply([&](auto&... term) { ((term.weight *= s.weight(term.name)), ...); }, terms);
  Loss loss;
  std::apply([&](auto const&... term) { (loss.names.push_back(term.name), ...); }, terms);
  auto const weighted = [](Terms all, Loss::Weights const& weights) {
    std::apply([&](auto&... term) { ((term.weight *= weights[detail::kind_of(term.name)]), ...); }, all);
    return all;
  };
  std::apply([&](auto const&... term) { ((loss.identity[term.name] = detail::identity_of(term.points)), ...); }, terms);
  auto const shared = std::make_shared<Terms>(std::move(terms));
  loss.evaluate = [&ctx, &world, s, model, weighted, shared](Loss::Weights const& weights) {
    auto const share = [&](auto const&... term) {
      return Terms{pde::share<Ord>(term, std::size_t(world.rank()), std::size_t(world.size()))...};
    };
    auto const shares = weighted(std::apply(share, *shared), weights);
    auto const value = pde::loss_and_gradient<Ord>(ctx, model, shares, s.loss_options());
    world.start(ctx.exec, ctx.parameters.gradients());
    world.finish(ctx.exec);
    Loss::Value all{0, {value.terms.begin(), value.terms.end()}};
    world.sum(all.terms);
    for (double const term : all.terms) all.total += term;
    return all;
  };
  loss.squares = [&ctx, s, model, weighted, shared](Loss::Weights const& weights, int points, int step) {
    using Problem = decltype(pde::residuals_of<Ord>(ctx, model, *shared, s.loss_options()));
    auto const problem = std::make_shared<Problem>(ctx, model, weighted(*shared, weights), s.loss_options());
    attn::RandomKey const key = attn::subkey({.seed = s.common.seed}, std::string_view("points of a step"));
    problem->draw(std::size_t(points), attn::subkey(key, std::uint64_t(step)));
    return Loss::Squares{[problem] { return problem->size(); },
                         [problem](std::vector<double>& r) { problem->residuals(r); },
                         [problem](std::vector<double> const& w) { problem->pull_back(w); },
                         [problem](std::size_t i) { return problem->describe(i); },
                         [problem](std::vector<double> const& r) { return problem->sums(r); },
                         [problem] {
                           auto const sizes = problem->sum_sizes();
                           return std::vector<std::size_t>(sizes.begin(), sizes.end());
                         },
                         [problem](std::function<void()> const& row) { problem->for_rows(row); },
                         [problem](std::vector<double> const& r) {
                           auto const value = problem->value(r);
                           return std::vector<double>(value.terms.begin(), value.terms.end());
                         }};
  };
  loss.tangent_kernel_weights = [&ctx, s, model, shared](int step) {
    return detail::tangent_kernel_weights<Ord>(s, ctx, model, *shared, step);
  };
  loss.weigh_by_time = [&ctx, s, model, shared](double epsilon) {
    double least = 1;
    auto const weigh = [&](auto& term) {
      if (term.name != "residual") return;
      term.weights = pde::causal_weights<Ord>(ctx, model, term, s.loss_options(), epsilon);
      least = std::min(least, *std::min_element(term.weights.begin(), term.weights.end()));
    };
    std::apply([&](auto&... term) { (weigh(term), ...); }, *shared);
    return least;
  };
  return loss;
}

}  // namespace train_pde
