// Problems in x and t with a known solution: training, errors on the test grid, pictures.
#pragma once

#include "attn/io/array.hpp"
#include "attn/io/mat.hpp"
#include "attn/io/npy.hpp"
#include "attn/pde/problems.hpp"
#include "attn/train/weights.hpp"

#include <algorithm>
#include <cmath>

#include "pde/networks.hpp"
#include "pde/output.hpp"
#include "pde/training.hpp"

namespace train_pde {

/// The truth on the test grid, for each t all x: the exact solution, or array "u" (t, x) of a .mat file.
template <class Problem>
std::vector<double> truth(Settings const& s, Problem const& problem, pde::Points const& points) {
  std::vector<double> u;
  if (s.solution.empty()) {
    for (std::size_t i = 0; i < points.size(); ++i) u.push_back(problem.exact(points[i][0], points[i][1]));
    return u;
  }
  std::size_t const n = static_cast<std::size_t>(s.test_points);
  auto const array = attn::io::read_mat_array(s.solution, "u", {n, n});
  ATTN_CHECK(std::ranges::all_of(array.values, [](double value) { return std::isfinite(value); }),
             "--solution: 'u' in '", s.solution.string(), "' holds numbers that are not finite");
  for (std::size_t t = 0; t < n; ++t) {
    for (std::size_t x = 0; x < n; ++x) u.push_back(array(t, x));
  }
  return u;
}

/// The raster of points in time, to the right, and space, upwards.
inline Raster raster_in_time(pde::Points const& points) {
  std::vector<double> x, t;
  for (std::size_t i = 0; i < points.size(); ++i) {
    x.push_back(points[i][0]);
    t.push_back(points[i][1]);
  }
  Raster raster = raster_of(t, x);
  raster.x_label = "t";
  raster.y_label = "x";
  return raster;
}

/// Trains or evaluates on a problem.
template <class Problem>
int run_plane(Settings const& s, Problem const& problem, attn::train::World& world) {
  using Ord = typename Problem::Orders;
  Context ctx(s.common.seed);
  auto const model = make_network<Ord>(ctx, s, 2, 1);
  pde::Points const points = pde::grid(problem.domain(), s.test_points, s.test_points);
  std::vector<double> const exact = truth(s, problem, points);  // before training: the file may be bad
  if (!s.common.weights.empty()) attn::train::load_weights(s.common.weights, ctx);
  Outcome outcome;
  auto const predict = [&] { return pde::predict<Ord>(ctx, model, points, s.loss_options().sequence); };
  if (!s.common.evaluate) {
    Watch const watch{{"rmae", "rmse"}, [&] {
                        auto const errors = pde::relative_errors(exact, predict());
                        return std::vector<double>{errors.rmae, errors.rmse};
                      }};
    outcome = train(s, ctx, make_loss<Ord>(s, ctx, model, problem.terms(s.x_points, s.t_points), world), watch, world);
  }
  if (!world.leads()) return outcome.exit_code;
  auto const guess = predict();
  auto const errors = pde::relative_errors(exact, guess);
  report(s, outcome,
         {{"rmae", errors.rmae},
          {"rmse", errors.rmse},
          {"truth", s.solution.empty() ? "exact" : s.solution.filename().string()}});
  std::size_t const n = static_cast<std::size_t>(s.test_points);
  attn::io::write_npy(s.common.out / "prediction.npy", attn::io::to_array(guess, {n, n}));
  draw(s, raster_in_time(points), exact, guess, outcome);
  return outcome.exit_code;
}

}  // namespace train_pde
