// Navier-Stokes: velocities measured at some points of a flow; the pressure is found without having been measured.
#include "attn/io/npy.hpp"
#include "attn/pde/navier_stokes.hpp"
#include "attn/train/weights.hpp"

#include "pde/networks.hpp"
#include "pde/output.hpp"
#include "pde/training.hpp"

namespace train_pde {

int run_flow(Settings const& s, attn::train::World& world) {
  using Ord = pde::NavierStokes::Orders;
  pde::NavierStokes const equations{.viscosity = s.coefficient};
  pde::Flow const flow = s.data.empty() ? pde::taylor_vortices(s.coefficient, 32, 21) : pde::read_flow(s.data);
  std::size_t const all = flow.places() * flow.times();
  ATTN_CHECK(std::size_t(s.samples) <= all, "--samples: ask for at most ", all, " of this flow, got ", s.samples);
  pde::Points const measured = pde::sample_flow(flow, std::size_t(s.samples), {.seed = s.common.seed});
  Context ctx(s.common.seed);
  auto const model = make_network<Ord>(ctx, s, 3, 2);
  if (!s.common.weights.empty()) attn::train::load_weights(s.common.weights, ctx);
  // One snapshot in the middle: pressure and velocities at all places.
  std::size_t const time = flow.times() / 2;
  pde::Points snapshot{.dimensions = 3, .coordinates = {}};
  std::vector<double> u, v, p;
  for (std::size_t i = 0; i < flow.places(); ++i) {
    snapshot.coordinates.insert(snapshot.coordinates.end(), {flow.x[i], flow.y[i], flow.t[time]});
    u.push_back(flow.u[flow.at(i, time)]);
    v.push_back(flow.v[flow.at(i, time)]);
    p.push_back(flow.p[flow.at(i, time)]);
  }
  auto const sequence = s.loss_options().sequence;
  auto const output = [](std::vector<double> const& both, std::size_t which, double sign = 1) {
    std::vector<double> one;
    for (std::size_t i = which; i < both.size(); i += 2) one.push_back(sign * both[i]);
    return one;
  };
  struct Guess {
    std::vector<double> p, shifted, u, v;
  };
  auto const predict = [&] {
    Guess guess;
    guess.p = output(pde::predict<Ord>(ctx, model, snapshot, sequence), 1);
    guess.u = output(pde::predict<Ord, 0, 1, 0>(ctx, model, snapshot, sequence), 0);
    guess.v = output(pde::predict<Ord, 1, 0, 0>(ctx, model, snapshot, sequence), 0, -1);
    // The equations determine the pressure up to a constant.
    guess.shifted = guess.p;
    double mean = 0;
    for (std::size_t i = 0; i < p.size(); ++i) mean += (p[i] - guess.p[i]) / double(p.size());
    for (double& value : guess.shifted) value += mean;
    return guess;
  };
  std::vector<std::string> const names = {"rmse_pressure_without_mean", "rmse_u", "rmse_v"};
  auto const errors_of = [&](Guess const& guess) {
    return std::vector<double>{pde::relative_errors(p, guess.shifted).rmse, pde::relative_errors(u, guess.u).rmse,
                               pde::relative_errors(v, guess.v).rmse};
  };

  Outcome outcome;
  if (!s.common.evaluate) {
    Watch const watch{names, [&] { return errors_of(predict()); }};
    outcome = train(s, ctx, make_loss<Ord>(s, ctx, model, pde::flow_terms(equations, measured), world), watch, world);
  }
  if (!world.leads()) return outcome.exit_code;
  Guess const guess = predict();
  auto const errors = pde::relative_errors(p, guess.p);
  attn::io::Json all_errors = {{"rmae", errors.rmae}, {"rmse", errors.rmse}};
  auto const more = errors_of(guess);
  for (std::size_t i = 0; i < names.size(); ++i) all_errors[names[i]] = more[i];
  all_errors["truth"] = s.data.empty() ? "Taylor's vortices" : s.data.filename().string();
  report(s, outcome, all_errors);
  attn::io::write_npy(s.common.out / "prediction.npy", attn::io::to_array(guess.p, {guess.p.size()}));
  draw(s, raster_of(flow.x, flow.y), p, guess.shifted, outcome);
  return outcome.exit_code;
}

}  // namespace train_pde
