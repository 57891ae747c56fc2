#include "pde/training.hpp"

#include "attn/optim/adamw.hpp"
#include "attn/optim/broyden.hpp"
#include "attn/optim/gauss_newton.hpp"
#include "attn/optim/lbfgs.hpp"
#include "attn/optim/levenberg_marquardt.hpp"
#include "attn/train/description.hpp"
#include "attn/train/distributed/agreement.hpp"
#include "attn/train/distributed/rank_trace.hpp"
#include "attn/train/progress.hpp"
#include "attn/train/record_fields.hpp"
#include "attn/train/run_files.hpp"
#include "attn/train/stop.hpp"
#include "attn/train/trained_numbers.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <ostream>
#include <type_traits>

#include "pde/output.hpp"
#include "pde/spectrum.hpp"

namespace train_pde {

namespace io = attn::io;

namespace {

using Real = Context::Real;
using Memory = Context::MemorySpace;
using Parameters = Kokkos::View<Real*, Memory, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

/// What takes time besides the optimizer itself.
enum class Work { loss, residuals, pull_back, rows, watching };
constexpr std::array<char const*, 5> names_of_work = {"loss and gradient", "residuals", "backward passes of residuals",
                                                      "rows of the Jacobian", "watching"};

/// Everything that changes from step to step.
class Training {
  using Lbfgs = attn::optim::Lbfgs<Real, Memory>;
  using Broyden = attn::optim::Broyden<Real, Memory>;
  using Newton = attn::optim::GaussNewton<Real, Memory>;
  using Marquardt = attn::optim::LevenbergMarquardt<Real, Memory>;
  using Adam = attn::optim::AdamW<Real, Memory>;

 public:
  Training(Settings const& settings, Context& ctx, Loss const& loss, Watch const& watch, attn::train::World& world)
      : s_(settings),
        ctx_(ctx),
        loss_(loss),
        watch_(watch),
        world_(world),
        trace_(world, s_.sharing.trace),
        files_(s_.common.out, results_of(s_), world.leads()),
        description_(attn::train::describe_model("train_pde", results_of(s_))) {
    if (world.size() > 1) {
      attn::train::check_agreement(world, attn::train::identity_of(ctx, results_of(s_), loss.identity));
      attn::train::check_shared_disk(world, s_.common.out);
    }
    std::vector<std::string> columns = {"step", "loss"};
    columns.insert(columns.end(), loss.names.begin(), loss.names.end());
    columns.insert(columns.end(), watch.names.begin(), watch.names.end());
    columns.insert(columns.end(), {"evaluations", "seconds"});
    for (std::string const& name : attn::train::trained_number_names(ctx_)) columns.push_back(name);
    bool const newton = s_.optimizer.use("gauss-newton"), marquardt = s_.optimizer.use("levenberg-marquardt");
    if (newton) columns.insert(columns.end(), {"products", "gain", "fraction", "mismatch"});
    if (marquardt) columns.insert(columns.end(), {"trials", "bend"});
    if (newton || marquardt) columns.push_back("damping");
    if (s_.causal > 0) columns.push_back("least_causal_weight");
    begin_stage();
    if (s_.resume) {
      files_.continue_log(columns, restore());
    } else {
      files_.begin_log(columns);
    }
  }

  Outcome run() {
    attn::train::StopRequest const stop;
    std::ostream nowhere(nullptr);
    attn::train::ProgressOptions shown;
    if (!world_.leads()) shown = {.stream = &nowhere, .terminal = false};
    attn::train::Progress progress(s_.problem, s_.steps, "steps", outcome_.steps, shown);
    progress_ = &progress;
    attn::train::Rhythm checkpoint(s_.checkpoint_every);
    if (s_.spectrum > 0 && !s_.resume && world_.leads()) add_spectrum(s_, ctx_, loss_, "before");
    trace_.begin();
    try {
      bool flat = false;
      bool stops = false;
      while (outcome_.steps < s_.steps && !flat && !stops) {
        flat = step() && !go_on_to_next_stage();
        if (checkpoint.due(std::uint64_t(outcome_.steps))) save();
        stops = asked_to_stop(stop);
      }
      if (flat)
        progress.print(s_.problem + ": no step lowers the loss after " + std::to_string(outcome_.steps) + " steps");
      Loss::Value const last = evaluate();
      check(last.total);
      outcome_.loss = last.total;
      for (std::size_t t = 0; t < last.terms.size(); ++t) outcome_.terms.emplace_back(loss_.names[t], last.terms[t]);
      save();
      save_weights();
      trace_.end();
      if (s_.spectrum > 0 && world_.leads()) add_spectrum(s_, ctx_, loss_, "after");
    } catch (attn::Error const& error) {
      if (!evaluated_) throw;  // not the run, what it was given is at fault
      if (good_.extent(0) > 0) Kokkos::deep_copy(values(), good_);
      save_weights();
      throw io::FailedRun("step " + std::to_string(outcome_.steps + 1) + ": " + error.what() + broken_ +
                          "; the last good weights are in '" + weights_file().string() + "'");
    }
    outcome_.finished = !asked_to_stop(stop);
    outcome_.exit_code = stop.exit_code();
    outcome_.seconds = seconds();
    double rest = outcome_.seconds;
    for (std::size_t work = 0; work < seconds_of_.size(); ++work) {
      rest -= seconds_of_[work];
      outcome_.seconds_of.emplace_back(names_of_work[work], seconds_of_[work]);
    }
    outcome_.seconds_of.emplace_back("optimizer", std::max(rest, 0.0));
    return outcome_;
  }

 private:
  io::Path weights_file() const { return attn::train::weights_path(s_.common.out); }
  double seconds() const { return seconds_before_ + progress_->seconds(); }

  Parameters values() const {
    return Parameters(ctx_.parameters.values().data(), std::size_t(ctx_.parameters.extent()));
  }

  std::size_t stage() const { return s_.optimizer.stage_of(outcome_.steps + steps_left_out_); }
  std::string const& optimizer() const { return s_.optimizer.stages[stage()].name; }

  /// Where a stage found no way down: leaves out the rest of its steps. Returns whether there was another stage.
  bool go_on_to_next_stage() {
    std::size_t const now = stage();
    if (now + 1 == s_.optimizer.stages.size()) return false;
    steps_left_out_ = s_.optimizer.end_of(now) - outcome_.steps;
    begin_stage();
    return true;
  }

  /// Each stage starts with an optimizer that knows nothing.
  void begin_stage() {
    double const rate = s_.optimizer.use("adam") ? 1 : s_.learning_rate;
    lbfgs_ = Lbfgs({.learning_rate = rate,
                    .max_iterations = s_.max_iterations,
                    .max_evaluations = s_.max_evaluations,
                    .history = s_.history});
    broyden_ = Broyden({.learning_rate = rate,
                        .max_iterations = s_.max_iterations,
                        .max_evaluations = s_.max_evaluations,
                        .history = s_.history});
    newton_ = Newton({.max_products = s_.products, .damping = s_.damping});
    marquardt_ = Marquardt();
    adam_ = Adam({.learning_rate = s_.learning_rate});
  }

  /// f(method) for the method of the stage that it is.
  template <class F>
  auto with_method(F const& f) {
    if (optimizer() == "broyden") return f(broyden_);
    if (optimizer() == "gauss-newton") return f(newton_);
    if (optimizer() == "levenberg-marquardt") return f(marquardt_);
    if (optimizer() == "adam") return f(adam_);
    return f(lbfgs_);
  }

  attn::train::CheckpointParts<Context> parts() {
    return with_method([&](auto& method) -> attn::train::CheckpointParts<Context> {
      return {{optimizer(), method.state(ctx_)}};
    });
  }

  /// Returns the rows of metrics.csv at the time of the checkpoint.
  std::uint64_t restore() {
    io::Json const record = files_.read_record();
    attn::train::RecordFields const fields(files_.checkpoint(), record);
    outcome_.steps = int(fields.count("step", std::uint64_t(std::numeric_limits<int>::max())));
    ATTN_CHECK(outcome_.steps <= s_.steps, "--resume: the run has made ", outcome_.steps,
               " steps; give --steps as many or more, got ", s_.steps);
    outcome_.evaluations = int(fields.count("evaluations", std::uint64_t(std::numeric_limits<int>::max())));
    steps_left_out_ = int(fields.count("steps_left_out", std::uint64_t(std::numeric_limits<int>::max())));
    seconds_before_ = fields.number("seconds", 0);
    seconds_of_ = fields.numbers("seconds_of", seconds_of_.size());
    auto const ntk = fields.numbers("ntk", weights_.size());
    std::copy(ntk.begin(), ntk.end(), weights_.begin());
    auto const rows = fields.count("rows", std::uint64_t(outcome_.steps));
    with_method([&](auto& method) { restore(method, fields); });
    files_.load(ctx_, parts());
    return rows;
  }

  /// Makes room for the vectors of a method and gives it its numbers.
  void restore(Lbfgs& method, attn::train::RecordFields const& fields) {
    method.restore_history(ctx_, int(history_of(fields)));
  }
  void restore(Broyden& method, attn::train::RecordFields const& fields) {
    method.restore(ctx_, fields.numbers("optimizer", std::size_t(1 + 4 * history_of(fields))));
  }
  template <class Method>
  void restore(Method& method, attn::train::RecordFields const& fields) {
    if constexpr (requires { method.numbers(); }) method.restore(fields.numbers("optimizer", method.numbers().size()));
  }
  std::uint64_t history_of(attn::train::RecordFields const& fields) const {
    return fields.count("history", std::uint64_t(s_.history));
  }

  void save() {
    io::Json record = {
        {"step", outcome_.steps}, {"evaluations", outcome_.evaluations}, {"steps_left_out", steps_left_out_},
        {"seconds", seconds()},   {"seconds_of", seconds_of_},           {"ntk", weights_}};
    with_method([&](auto const& method) {
      if constexpr (requires { method.remembered(); }) record["history"] = method.remembered();
      if constexpr (requires { method.numbers(); }) record["optimizer"] = method.numbers();
    });
    files_.save(ctx_, parts(), record, description_);
  }

  void save_weights() {
    if (files_.writes()) attn::train::save_weights(weights_file(), ctx_, description_);
  }

  /// Whether any rank was.
  bool asked_to_stop(attn::train::StopRequest const& stop) {
    std::array<double, 1> ranks = {stop.requested() ? 1.0 : 0.0};
    world_.sum(ranks);
    return ranks[0] > 0;
  }

  Loss::Value evaluate() {
    Loss::Value value = timed(Work::loss, [&] { return loss_.evaluate(weights_); });
    evaluated_ = true;
    if (!std::isfinite(value.total)) name_what_is_broken();
    return value;
  }

  /// Of the parameters that there are now, the first residual that is not finite.
  void name_what_is_broken() {
    auto const problem = loss_.squares(weights_, 0, 0);
    std::vector<double> r;
    problem.residuals(r);
    auto const first = std::ranges::find_if(r, [](double residual) { return !std::isfinite(residual); });
    if (first != r.end()) broken_ = "; the first residual: " + problem.describe(std::size_t(first - r.begin()));
  }

  static void check(double loss) { ATTN_CHECK(std::isfinite(loss), "the loss became ", loss); }

  /// Returns whether no gradient is left.
  bool step() {
    if (s_.ntk_every > 0 && outcome_.steps % s_.ntk_every == 0) {
      weights_ = loss_.tangent_kernel_weights(outcome_.steps);
      ATTN_CHECK(std::isfinite(weights_[0] + weights_[1] + weights_[2]), "the traces of the tangent kernels became ",
                 weights_[0], ", ", weights_[1], " and ", weights_[2]);
    }
    double const least_weight =
        s_.causal > 0 ? timed(Work::residuals, [&] { return loss_.weigh_by_time(s_.causal); }) : 1;
    Step const step = with_method([&](auto& method) { return step_of(method); });
    std::size_t const stage_of_step = stage();
    bool const adam = optimizer() == "adam";
    ++outcome_.steps;
    outcome_.evaluations += step.evaluations;
    attn::train::Metrics row = {{"step", outcome_.steps}, {"loss", step.value.total}};
    for (std::size_t t = 0; t < step.value.terms.size(); ++t) row.emplace_back(loss_.names[t], step.value.terms[t]);
    if (outcome_.steps % (s_.watch_every > 0 ? s_.watch_every : adam ? 100 : 1) == 0) watch(row);
    row.insert(row.end(), {{"evaluations", outcome_.evaluations}, {"seconds", seconds()}});
    auto const numbers = attn::train::trained_numbers(ctx_);
    row.insert(row.end(), numbers.begin(), numbers.end());
    row.insert(row.end(), step.more.begin(), step.more.end());
    if (s_.causal > 0) row.emplace_back("least_causal_weight", least_weight);
    files_.log(row);
    progress_->update(outcome_.steps, {{"loss", step.value.total}, {"evaluations", double(outcome_.evaluations)}});
    if (stage() != stage_of_step) {
      begin_stage();
      return false;  // what was flat for one method may not be so for the next
    }
    return step.flat;
  }

  void watch(attn::train::Metrics& row) {
    auto const errors = timed(Work::watching, [&] { return watch_.errors(); });
    for (std::size_t i = 0; i < errors.size(); ++i) row.emplace_back(watch_.names[i], errors[i]);
  }

  /// Calls a function and adds its seconds to those of its kind of work.
  template <class Function>
  std::invoke_result_t<Function const&> timed(Work work, Function const& function) {
    struct Timer {
      double& seconds;
      std::chrono::steady_clock::time_point const start = std::chrono::steady_clock::now();
      ~Timer() { seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }
    };
    Timer const timer{seconds_of_[std::size_t(work)]};
    auto const span = trace_.span(names_of_work[std::size_t(work)]);
    return function();
  }

  /// What a step of any optimizer came to.
  struct Step {
    Loss::Value value;  // after the step; of Adam, before it
    int evaluations = 0;
    bool flat = false;  // whether there is nowhere to go
    attn::train::Metrics more = {};
  };

  /// Of a method that searches along a line.
  template <class Method>
  Step step_of(Method& method) {
    std::vector<Loss::Value> seen;
    auto const report = method.step(ctx_, [&] {
      seen.push_back(evaluate());
      return seen.back().total;
    });
    good_ = {};  // where this step led is good
    // The line search ends at one of the points that it tried.
    auto const at = std::find_if(seen.rbegin(), seen.rend(), [&](auto const& v) { return v.total == report.loss; });
    return {{report.loss, at == seen.rend() ? seen.back().terms : at->terms},
            static_cast<int>(seen.size()),
            report.iterations == 0};
  }

  Step step_of(Adam& adam) {
    Loss::Value const value = evaluate();
    check(value.total);
    // Adam does not look where its step leads: until the loss there is known, the parameters of before are kept.
    if (good_.extent(0) == 0) good_ = Kokkos::View<Real*, Memory>("train_pde::good", values().extent(0));
    Kokkos::deep_copy(good_, values());
    adam.step(ctx_);
    return {value, 1, false};
  }

  Step step_of(Newton& method) {
    return step_of_squares(method, [](auto const& report) {
      return attn::train::Metrics{{"products", report.products},
                                  {"damping", report.damping},
                                  {"gain", report.gain},
                                  {"fraction", report.fraction},
                                  {"mismatch", report.mismatch}};
    });
  }
  Step step_of(Marquardt& method) {
    return step_of_squares(method, [](auto const& report) {
      return attn::train::Metrics{{"trials", report.trials}, {"damping", report.damping}, {"bend", report.bend}};
    });
  }

  /// Of a method that sees the loss as a sum of squares, of the points of this step; more(report): its own columns.
  template <class Method, class More>
  Step step_of_squares(Method& method, More const& more) {
    auto problem = loss_.squares(weights_, s_.step_points, outcome_.steps);
    problem.residuals = [this, residuals = problem.residuals](std::vector<double>& r) {
      timed(Work::residuals, [&] { residuals(r); });
      evaluated_ = true;
    };
    problem.pull_back = [this, pull_back = problem.pull_back](std::vector<double> const& w) {
      timed(Work::pull_back, [&] { pull_back(w); });
    };
    problem.for_rows = [this, for_rows = problem.for_rows](std::function<void()> const& row) {
      timed(Work::rows, [&] { for_rows(row); });
    };
    auto const report = method.step(ctx_, problem);
    good_ = {};
    // What is flat for some points need not be so for the next ones.
    return {{report.loss, problem.terms(method.residuals())},
            static_cast<int>(std::ceil(report.evaluations())),
            report.converged && s_.step_points == 0,
            more(report)};
  }

  Settings const& s_;
  Context& ctx_;
  Loss const& loss_;
  Watch const& watch_;
  attn::train::World& world_;
  Lbfgs lbfgs_;  // of these, the one whose stage it is has a state
  Broyden broyden_;
  Newton newton_;
  Marquardt marquardt_;
  Adam adam_;
  attn::train::RankTrace<attn::train::World> trace_;
  attn::train::RunFiles files_;
  io::Metadata description_;
  attn::train::Progress* progress_ = nullptr;
  Outcome outcome_;
  std::vector<double> seconds_of_ = std::vector<double>(names_of_work.size());
  int steps_left_out_ = 0;  // of stages that ended early
  Loss::Weights weights_{1, 1, 1};
  Kokkos::View<Real*, Memory> good_;
  std::string broken_;  // which residual is not finite
  double seconds_before_ = 0;
  bool evaluated_ = false;
};

}  // namespace

Outcome train(Settings const& settings, Context& ctx, Loss const& loss, Watch const& watch, attn::train::World& world) {
  return Training(settings, ctx, loss, watch, world).run();
}

}  // namespace train_pde
