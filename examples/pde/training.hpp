// The training loop of train_pde: L-BFGS or Adam, metrics, checkpoints, Ctrl-C.
#pragma once

#include "attn/io/csv.hpp"
#include "attn/io/results.hpp"
#include "attn/optim/adamw.hpp"
#include "attn/optim/lbfgs.hpp"
#include "attn/pde/predict.hpp"
#include "attn/train/checkpoint.hpp"
#include "attn/train/progress.hpp"
#include "attn/train/stop.hpp"
#include "attn/train/weights.hpp"

#include <cstdio>
#include <optional>
#include <tuple>

#include "commit.hpp"
#include "pde/settings.hpp"

namespace train_pde {

namespace io = attn::io;
namespace pde = attn::pde;

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

inline io::Json describe(Settings const& s) {
  return {{"problem", s.problem},
          {"model", s.model},
          {"activation", s.model == "pinn" ? "none" : s.common.activation},
          {"power", s.common.power},
          {"scale", s.common.scale},
          {"seed", s.common.seed},
          {"coefficient", s.coefficient},
          {"grid", {s.x_points, s.t_points}},
          {"sequence", s.sequence},
          {"sequence_step", s.sequence_step},
          {"derivative", s.derivative},
          {"optimizer", s.optimizer},
          {"max_iterations", s.max_iterations},
          {"history", s.history},
          {"learning_rate", s.learning_rate},
          {"weights", {s.weight_residual, s.weight_boundary, s.weight_initial}},
          {"ntk_every", s.ntk_every},
          {"scale_keys", s.scale_keys},
          {"samples", s.samples}};
}

/// Adjusts one loss's weights so that no term's tangent kernel dominates: trace of all over trace of the term. The
/// residual's trace is estimated from 300 points that change from time to time.
template <class Ord, class Ctx, class Model, class Terms>
void weigh_by_tangent_kernels(Ctx& ctx, Model const& model, Settings const& s, int step, Terms& terms,
                              std::array<double, 3>& weights) {
  double traces[3] = {};
  auto const kind = [](std::string const& name) { return name == "residual" ? 0 : name == "boundary" ? 1 : 2; };
  bool seen_initial = false;
  auto const add = [&](auto const& term) {
    int const k = kind(term.name);
    if (k == 2 && std::exchange(seen_initial, true)) return;  // the points at t = 0 count once
    pde::Points points = term.points;
    if (k == 0 && points.size() > 300) {
      pde::Points drawn{.dimensions = points.dimensions, .coordinates = {}};
      attn::RandomKey const key = attn::subkey({.seed = s.common.seed}, std::uint64_t(step));
      for (std::uint64_t i = 0; i < 300; ++i) {
        double const* const p = points[attn::random_bits64(key, i) % points.size()];
        drawn.coordinates.insert(drawn.coordinates.end(), p, p + points.dimensions);
      }
      points = drawn;
    }
    traces[k] += pde::tangent_kernel_trace<Ord>(ctx, model, points, s.loss_options().sequence);
  };
  std::apply([&](auto const&... term) { (add(term), ...); }, terms);
  double const all = traces[0] + traces[1] + traces[2];
  std::array<double, 3> const before = weights;
  for (int k = 0; k < 3; ++k) weights[std::size_t(k)] = traces[k] > 0 ? all / traces[k] : 1;
  std::apply([&](auto&... term) {
    ((term.weight *= weights[std::size_t(kind(term.name))] / before[std::size_t(kind(term.name))]), ...);
  }, terms);
}

template <class Ord, class Ctx, class Model, class Terms>
Outcome train(Settings const& s, Ctx& ctx, Model const& model, Terms terms) {
  using Lbfgs = attn::optim::Lbfgs<typename Ctx::Real, typename Ctx::MemorySpace>;
  using Adam = attn::optim::AdamW<typename Ctx::Real, typename Ctx::MemorySpace>;
  constexpr std::size_t n_terms = std::tuple_size_v<Terms>;
  io::Path const checkpoint = s.common.out / "checkpoint.safetensors";
  std::vector<std::string> columns = {"step", "loss"};
  std::apply([&](auto const&... term) { (columns.push_back(term.name), ...); }, terms);
  columns.insert(columns.end(), {"evaluations", "seconds"});
  std::apply([&](auto&... term) { ((term.weight *= s.weight(term.name)), ...); }, terms);

  Lbfgs lbfgs({.learning_rate = s.learning_rate, .max_iterations = s.max_iterations,
               .max_evaluations = s.max_evaluations, .history = s.history});
  Adam adam({.learning_rate = s.learning_rate});
  bool const second_order = s.optimizer == "lbfgs";
  std::array<double, 3> ntk{1, 1, 1};
  Outcome outcome;
  double seconds_before = 0;
  auto const parts = [&]() -> attn::train::CheckpointParts<Ctx> {
    if (second_order) return {{"lbfgs", lbfgs.state(ctx)}};
    return {{"adam", adam.state(ctx)}};
  };
  std::optional<io::CsvLog> log;
  if (s.resume) {
    io::Json const record = attn::train::read_checkpoint_record(checkpoint);
    ATTN_CHECK(record["settings"] == describe(s), "--resume: continue with the settings of the first run, which were ",
               record["settings"].dump());
    if (second_order) lbfgs.restore_history(ctx, record["history"]);
    attn::train::load_checkpoint(checkpoint, ctx, parts());
    outcome.steps = record["step"];
    outcome.evaluations = record["evaluations"];
    outcome.losses = record["losses"].get<std::vector<double>>();
    seconds_before = record["seconds"];
    ntk = record["ntk"].get<std::array<double, 3>>();
    std::apply([&](auto&... term) {
      ((term.weight *= ntk[term.name == "residual" ? 0 : term.name == "boundary" ? 1 : 2]), ...);
    }, terms);
    log.emplace(io::CsvLog::resume(s.common.out / "metrics.csv", columns, record["rows"]));
  } else {
    log.emplace(s.common.out / "metrics.csv", columns);
  }

  attn::train::StopRequest const stop;
  attn::train::Progress progress(s.problem, s.steps, "steps", outcome.steps);
  auto const seconds = [&] { return seconds_before + progress.seconds(); };
  auto const save = [&] {
    io::Json const record = {{"settings", describe(s)},          {"step", outcome.steps},
                             {"history", lbfgs.remembered()},    {"evaluations", outcome.evaluations},
                             {"losses", outcome.losses},         {"rows", log->rows()},
                             {"seconds", seconds()},             {"ntk", ntk}};
    attn::train::save_checkpoint(checkpoint, ctx, parts(), record);
  };
  std::vector<pde::LossValue<n_terms>> values;
  auto const closure = [&] {
    values.push_back(pde::loss_and_gradient<Ord>(ctx, model, terms, s.loss_options()));
    return values.back().total;
  };
  while (outcome.steps < s.steps && !stop.requested()) {
    if (s.ntk_every > 0 && outcome.steps % s.ntk_every == 0) {
      weigh_by_tangent_kernels<Ord>(ctx, model, s, outcome.steps, terms, ntk);
    }
    values.clear();
    double loss = 0;
    bool flat = false;
    try {
      if (second_order) {
        auto const report = lbfgs.step(ctx, closure);
        loss = report.loss;
        flat = report.iterations == 0;
      } else {
        loss = closure();
        ATTN_CHECK(std::isfinite(loss), "the loss became ", loss);
        adam.step(ctx);
      }
    } catch (attn::Error const& error) {
      attn::train::save_weights(s.common.out / "weights.safetensors", ctx);
      throw io::FailedRun("step " + std::to_string(outcome.steps) + ": " + error.what() +
                          "; the last good weights are in '" + (s.common.out / "weights.safetensors").string() + "'");
    }
    // The line search ends at one of the points that it tried.
    auto const at = std::find_if(values.rbegin(), values.rend(), [&](auto const& v) { return v.total == loss; });
    auto const& terms_now = at == values.rend() ? values.back().terms : at->terms;
    ++outcome.steps;
    outcome.evaluations += static_cast<int>(values.size());
    outcome.losses.push_back(loss);
    std::vector<io::CsvCell> row = {outcome.steps, loss};
    row.insert(row.end(), terms_now.begin(), terms_now.end());
    row.insert(row.end(), {outcome.evaluations, seconds()});
    log->append(row);
    progress.update(outcome.steps, {{"loss", loss}, {"evaluations", double(outcome.evaluations)}});
    if (outcome.steps % s.checkpoint_every == 0) save();
    if (flat) {
      progress.print(s.problem + ": no gradient is left after " + std::to_string(outcome.steps) + " steps");
      break;
    }
  }
  outcome.finished = !stop.requested();
  outcome.exit_code = stop.exit_code();
  save();
  outcome.seconds = seconds();
  auto const last = pde::loss_and_gradient<Ord>(ctx, model, terms, s.loss_options());
  outcome.loss = last.total;
  std::size_t t = 0;
  std::apply([&](auto const&... term) { (outcome.terms.emplace_back(term.name, last.terms[t++]), ...); }, terms);
  attn::train::save_weights(s.common.out / "weights.safetensors", ctx);
  return outcome;
}

/// The entry of results.json, and a line on the screen.
inline void report(Settings const& s, Outcome const& outcome, io::Json const& errors) {
  io::Json run = describe(s);
  if (!s.common.evaluate) {
    run["loss"] = outcome.loss;
    for (auto const& [name, value] : outcome.terms) run["loss_" + name] = value;
    run["steps"] = outcome.steps;
    run["evaluations"] = outcome.evaluations;
    run["finished"] = outcome.finished;
  }
  run.update(errors);
  run["seconds"] = outcome.seconds;
  if (s.common.evaluate) run["loss"] = nullptr;
  if (!s.common.out.empty()) {
    io::Results results(built_from_commit);
    results.add(run);
    results.write(s.common.out / "results.json");
  }
  std::printf("%s  %s", s.problem.c_str(), s.model == "pinn" ? "pinn" : s.common.activation.c_str());
  if (s.common.activation == "poly" && s.model != "pinn") std::printf(" x^%d scale %s", s.common.power, s.common.scale.c_str());
  if (!s.common.evaluate) std::printf("  %d steps, %d evaluations, %.0f s  loss %.4g", outcome.steps, outcome.evaluations, outcome.seconds, outcome.loss);
  for (auto const& [name, value] : errors.items()) {
    if (value.is_number()) std::printf("  %s %.4g", name.c_str(), value.get<double>());
  }
  std::printf("  (%s derivatives)\n", s.derivative.c_str());
}

}  // namespace train_pde
