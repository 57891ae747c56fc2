#include "pde/training.hpp"

#include "attn/optim/adamw.hpp"
#include "attn/optim/lbfgs.hpp"
#include "attn/train/description.hpp"
#include "attn/train/progress.hpp"
#include "attn/train/record_fields.hpp"
#include "attn/train/run_files.hpp"
#include "attn/train/stop.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "pde/output.hpp"

namespace train_pde {

namespace io = attn::io;

namespace {

using Real = Context::Real;
using Memory = Context::MemorySpace;
using Parameters = Kokkos::View<Real*, Memory, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

/// Everything that changes from step to step.
class Training {
 public:
  Training(Settings const& settings, Context& ctx, Loss const& loss)
      : s_(settings),
        ctx_(ctx),
        loss_(loss),
        second_order_(s_.optimizer == "lbfgs"),
        lbfgs_({.learning_rate = s_.learning_rate,
                .max_iterations = s_.max_iterations,
                .max_evaluations = s_.max_evaluations,
                .history = s_.history}),
        adam_({.learning_rate = s_.learning_rate}),
        files_(s_.common.out, results_of(s_)),
        description_(attn::train::describe_model("train_pde", results_of(s_))) {
    std::vector<std::string> columns = {"step", "loss"};
    columns.insert(columns.end(), loss.names.begin(), loss.names.end());
    columns.insert(columns.end(), {"evaluations", "seconds"});
    if (s_.resume) {
      files_.continue_log(columns, restore());
    } else {
      files_.begin_log(columns);
    }
  }

  Outcome run() {
    attn::train::StopRequest const stop;
    attn::train::Progress progress(s_.problem, s_.steps, "steps", outcome_.steps);
    progress_ = &progress;
    attn::train::Rhythm checkpoint(s_.checkpoint_every);
    try {
      bool flat = false;
      while (outcome_.steps < s_.steps && !flat && !stop.requested()) {
        flat = step();
        if (checkpoint.due(std::uint64_t(outcome_.steps))) save();
      }
      if (flat) progress.print(s_.problem + ": no gradient is left after " + std::to_string(outcome_.steps) + " steps");
      Loss::Value const last = evaluate();
      check(last.total);
      outcome_.loss = last.total;
      for (std::size_t t = 0; t < last.terms.size(); ++t) outcome_.terms.emplace_back(loss_.names[t], last.terms[t]);
      save();
      save_weights();
    } catch (attn::Error const& error) {
      if (!evaluated_) throw;  // not the run, what it was given is at fault
      if (good_.extent(0) > 0) Kokkos::deep_copy(values(), good_);
      save_weights();
      throw io::FailedRun("step " + std::to_string(outcome_.steps + 1) + ": " + error.what() +
                          "; the last good weights are in '" + weights_file().string() + "'");
    }
    outcome_.finished = !stop.requested();
    outcome_.exit_code = stop.exit_code();
    outcome_.seconds = seconds();
    return outcome_;
  }

 private:
  io::Path weights_file() const { return attn::train::weights_path(s_.common.out); }
  double seconds() const { return seconds_before_ + progress_->seconds(); }

  Parameters values() const {
    return Parameters(ctx_.parameters.values().data(), std::size_t(ctx_.parameters.extent()));
  }

  attn::train::CheckpointParts<Context> parts() {
    if (second_order_) return {{"lbfgs", lbfgs_.state(ctx_)}};
    return {{"adam", adam_.state(ctx_)}};
  }

  /// Returns the rows of metrics.csv at the time of the checkpoint.
  std::uint64_t restore() {
    io::Json const record = files_.read_record();
    attn::train::RecordFields const fields(files_.checkpoint(), record);
    outcome_.steps = int(fields.count("step", std::uint64_t(s_.steps)));
    outcome_.evaluations = int(fields.count("evaluations", std::uint64_t(std::numeric_limits<int>::max())));
    outcome_.losses = fields.numbers("losses", std::size_t(outcome_.steps));
    seconds_before_ = fields.number("seconds", 0);
    auto const ntk = fields.numbers("ntk", weights_.size());
    std::copy(ntk.begin(), ntk.end(), weights_.begin());
    auto const rows = fields.count("rows", std::uint64_t(outcome_.steps));
    auto const history = fields.count("history", std::uint64_t(s_.history));
    if (second_order_) lbfgs_.restore_history(ctx_, int(history));
    files_.load(ctx_, parts());
    return rows;
  }

  void save() {
    files_.save(ctx_, parts(),
                {{"step", outcome_.steps},
                 {"history", lbfgs_.remembered()},
                 {"evaluations", outcome_.evaluations},
                 {"losses", outcome_.losses},
                 {"seconds", seconds()},
                 {"ntk", weights_}},
                description_);
  }

  void save_weights() { attn::train::save_weights(weights_file(), ctx_, description_); }

  Loss::Value evaluate() {
    Loss::Value value = loss_.evaluate(weights_);
    evaluated_ = true;
    return value;
  }
  static void check(double loss) { ATTN_CHECK(std::isfinite(loss), "the loss became ", loss); }

  /// Returns whether no gradient is left.
  bool step() {
    if (s_.ntk_every > 0 && outcome_.steps % s_.ntk_every == 0) {
      weights_ = loss_.tangent_kernel_weights(outcome_.steps);
      ATTN_CHECK(std::isfinite(weights_[0] + weights_[1] + weights_[2]), "the traces of the tangent kernels became ",
                 weights_[0], ", ", weights_[1], " and ", weights_[2]);
    }
    std::vector<Loss::Value> values_seen;
    auto const closure = [&] {
      values_seen.push_back(evaluate());
      return values_seen.back().total;
    };
    double loss = 0;
    bool flat = false;
    if (second_order_) {
      auto const report = lbfgs_.step(ctx_, closure);
      loss = report.loss;
      flat = report.iterations == 0;
    } else {
      loss = closure();
      check(loss);
      // Adam does not look where its step leads: until the loss there is known, the parameters of before are kept.
      if (good_.extent(0) == 0) good_ = Kokkos::View<Real*, Memory>("train_pde::good", values().extent(0));
      Kokkos::deep_copy(good_, values());
      adam_.step(ctx_);
    }
    // The line search ends at one of the points that it tried.
    auto const at =
        std::find_if(values_seen.rbegin(), values_seen.rend(), [&](auto const& v) { return v.total == loss; });
    auto const& terms = at == values_seen.rend() ? values_seen.back().terms : at->terms;
    ++outcome_.steps;
    outcome_.evaluations += static_cast<int>(values_seen.size());
    outcome_.losses.push_back(loss);
    attn::train::Metrics row = {{"step", outcome_.steps}, {"loss", loss}};
    for (std::size_t t = 0; t < terms.size(); ++t) row.emplace_back(loss_.names[t], terms[t]);
    row.insert(row.end(), {{"evaluations", outcome_.evaluations}, {"seconds", seconds()}});
    files_.log(row);
    progress_->update(outcome_.steps, {{"loss", loss}, {"evaluations", double(outcome_.evaluations)}});
    return flat;
  }

  Settings const& s_;
  Context& ctx_;
  Loss const& loss_;
  bool second_order_;
  attn::optim::Lbfgs<Real, Memory> lbfgs_;
  attn::optim::AdamW<Real, Memory> adam_;
  attn::train::RunFiles files_;
  io::Metadata description_;
  attn::train::Progress* progress_ = nullptr;
  Outcome outcome_;
  Loss::Weights weights_{1, 1, 1};
  Kokkos::View<Real*, Memory> good_;
  double seconds_before_ = 0;
  bool evaluated_ = false;
};

}  // namespace

Outcome train(Settings const& settings, Context& ctx, Loss const& loss) { return Training(settings, ctx, loss).run(); }

}  // namespace train_pde
