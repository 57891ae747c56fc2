// Problems in x and t with a known solution: training, errors on the test grid, pictures.
#pragma once

#include "attn/io/array.hpp"
#include "attn/io/mat.hpp"
#include "attn/io/npy.hpp"
#include "attn/io/plot.hpp"
#include "attn/pde/problems.hpp"

#include "pde/networks.hpp"
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
  auto const array = io::read_mat_array(s.solution, "u", {n, n});
  for (std::size_t t = 0; t < n; ++t) {
    for (std::size_t x = 0; x < n; ++x) u.push_back(array(t, x));
  }
  return u;
}

inline void draw(Settings const& s, pde::Domain const& domain, std::vector<double> const& exact,
                 std::vector<double> const& guess, Outcome const& outcome) {
  std::size_t const n = static_cast<std::size_t>(s.test_points);
  auto const range = [](char const* name, double a, double b) {
    char text[80];
    std::snprintf(text, sizeof text, "%s, %.3g to %.3g", name, a, b);
    return std::string(text);
  };
  std::string const x = range("x", domain.x_low, domain.x_high), t = range("t", domain.t_low, domain.t_high);
  // Time grows to the right, space upwards: row 0 is at the top.
  auto const panel = [&](std::string title, auto const& value, io::Colors colors) {
    io::HeatMap map{.title = std::move(title), .x_label = t, .y_label = x, .rows = n, .columns = n, .colors = colors};
    for (std::size_t r = 0; r < n; ++r) {
      for (std::size_t c = 0; c < n; ++c) map.values.push_back(value(c * n + (n - 1 - r)));
    }
    return map;
  };
  io::Figure fields{.columns = 3, .panel_width = 400};
  fields.panels.push_back(panel("exact", [&](std::size_t i) { return exact[i]; }, io::Colors::diverging));
  fields.panels.push_back(panel("prediction", [&](std::size_t i) { return guess[i]; }, io::Colors::diverging));
  fields.panels.push_back(
      panel("absolute error", [&](std::size_t i) { return std::abs(guess[i] - exact[i]); }, io::Colors::sequential));
  io::try_save_figure(s.common.out / "fields.png", fields);
  if (outcome.losses.empty()) return;
  io::LinePlot plot{.title = s.problem, .x_label = "step", .y_label = "loss", .log_y = true};
  io::Series series{.label = "loss"};
  for (std::size_t i = 0; i < outcome.losses.size(); ++i) {
    series.x.push_back(static_cast<double>(i + 1));
    series.y.push_back(outcome.losses[i]);
  }
  plot.series.push_back(series);
  io::try_save_figure(s.common.out / "loss.png", {.panels = {plot}});
}

/// Trains or evaluates on a problem.
template <class Problem>
int run_plane(Settings const& s, Problem const& problem) {
  using Ord = typename Problem::Orders;
  attn::nn::Context<Kokkos::DefaultExecutionSpace> ctx(s.common.seed);
  return with_network(ctx, s, 2, 1, [&](auto const& model) {
    pde::Points const points = pde::grid(problem.domain(), s.test_points, s.test_points);
    std::vector<double> const exact = truth(s, problem, points);  // before training: the file may be bad
    if (!s.common.weights.empty()) attn::train::load_weights(s.common.weights, ctx);
    Outcome outcome;
    if (!s.common.evaluate) {
      outcome = train<Ord>(s, ctx, model, problem.terms(s.x_points, s.t_points));
    }
    auto const guess = pde::predict<Ord>(ctx, model, points, s.loss_options().sequence);
    auto const errors = pde::relative_errors(exact, guess);
    report(s, outcome, {{"rmae", errors.rmae}, {"rmse", errors.rmse},
                        {"truth", s.solution.empty() ? "exact" : s.solution.filename().string()}});
    if (!s.common.out.empty()) {
      std::size_t const n = static_cast<std::size_t>(s.test_points);
      io::write_npy(s.common.out / "prediction.npy", io::to_array(guess, {n, n}));
      draw(s, problem.domain(), exact, guess, outcome);
    }
    return outcome.exit_code;
  });
}

}  // namespace train_pde
