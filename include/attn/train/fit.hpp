/// fit: the training loop. Steps, schedule, clipping, averages, evaluation, metrics, checkpoints, interruption.
#pragma once

#include "attn/optim/clip.hpp"
#include "attn/optim/ema.hpp"
#include "attn/optim/schedule.hpp"
#include "attn/train/checkpoint.hpp"
#include "attn/train/detail/fit_record.hpp"
#include "attn/train/progress.hpp"
#include "attn/train/stop.hpp"

#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace attn::train {

/// What `fit` trains: a model with its data. Steps are numbered from 0 over all epochs.
///
///  1. `task.steps_per_epoch()` and `task.items_per_step()` are counts; they do not change.
///  2. `task.start(step)` makes the data of that step the next; what `step` computes depends on its number alone.
///  3. `task.step(ctx, observe)` runs the model on the next data and adds the gradients of the loss to those in
///     `ctx.parameters`, which are zero. It returns some numbers, the loss first, in the memory of `ctx`, and waits for
///     nothing. `task.measured()` has their names, and factors that make metrics of them: {"loss", 1}, ...
///  4. `task.observations()` are further metrics of an observed step; `fit` asks for them once it has waited.
///     `task.observed()` has their names.
///  5. `task.evaluate(ctx)` judges the parameters as they are; `ctx.training` is off. `task.evaluated()` has the names.
template <class Task, class Ctx>
concept Trainable = requires(Task& task, Ctx& ctx, std::uint64_t step, bool observe) {
  { task.steps_per_epoch() } -> std::convertible_to<std::uint64_t>;
  { task.items_per_step() } -> std::convertible_to<std::uint64_t>;
  task.start(step);
  { task.step(ctx, observe) } -> std::convertible_to<Tensor<typename Ctx::Real const, 1, typename Ctx::MemorySpace>>;
  { task.measured() } -> std::convertible_to<Metrics>;
  { task.observations() } -> std::convertible_to<Metrics>;
  { task.evaluate(ctx) } -> std::convertible_to<Metrics>;
  { task.observed() } -> std::convertible_to<std::vector<std::string>>;
  { task.evaluated() } -> std::convertible_to<std::vector<std::string>>;
};

struct FitOptions {
  std::uint64_t epochs = 1;
  double clip = 0;                            ///< limit of the global norm of the gradients; 0: none
  std::optional<optim::EmaOptions> ema = {};  ///< average the weights, and evaluate and keep the averages
  std::uint64_t log_every = 20;  ///< steps between rows of metrics; the first step and an epoch's last have one too
  io::Path out = {};             ///< where files go; empty: nothing is written
  bool resume = false;           ///< continue from the checkpoint in `out`
  io::Json settings = io::Json::object();  ///< what the result depends on; must be the same to resume
  io::Metadata metadata = {};              ///< goes into weights.safetensors
  std::string label = "training";          ///< what progress lines begin with
  std::string unit = "images";             ///< of the items
  ProgressOptions progress = {};
  StopRequest const* stop = nullptr;  ///< ends the run, with a checkpoint, when it is requested
};

struct FitResult {
  Metrics evaluation = {};  ///< after the last epoch
  Metrics training = {};    ///< what its steps measured, mean over it
  std::uint64_t steps = 0;  ///< of all epochs so far
  double seconds = 0;       ///< of all epochs so far, with evaluation
  bool interrupted = false;
};

inline io::Path checkpoint_path(io::Path const& out) { return out / "checkpoint.safetensors"; }
inline io::Path metrics_path(io::Path const& out) { return out / "metrics.csv"; }
inline io::Path weights_path(io::Path const& out) { return out / "weights.safetensors"; }

namespace detail {

/// One call of `fit`.
template <class Ctx, class Task, class Optimizer, class Schedule>
class FitRun {
 public:
  FitRun(Ctx& ctx, Task& task, Optimizer& optimizer, Schedule const& schedule, FitOptions const& options)
      : ctx_(ctx),
        task_(task),
        optimizer_(optimizer),
        schedule_(schedule),
        options_(options),
        steps_per_epoch_(task.steps_per_epoch()),
        total_(steps_per_epoch_ * options.epochs),
        checkpoint_(checkpoint_path(options.out)),
        measured_(task.measured()),
        clip_(options.clip),
        parts_{{"optimizer", optimizer.state(ctx)}} {
    ATTN_CHECK(steps_per_epoch_ > 0 && options.log_every > 0, "fit: give an epoch steps, and log_every at least 1");
    if (options.ema) {
      ema_.emplace(ctx, *options.ema);
      parts_.push_back({"average", ema_->state(ctx)});
    }
    record_.row.resize(measured_.size());
    record_.epoch.resize(measured_.size());
    if (options.resume) restore();
    if (keeps()) open_log();
  }

  FitResult run() {
    Progress progress(options_.label, items(total_), options_.unit, items(record_.step), options_.progress);
    progress_ = &progress;
    seconds_before_ = record_.seconds;
    row_begins();
    bool interrupted = false;
    if (record_.step < total_) task_.start(record_.step);
    while (record_.step < total_ && !interrupted) {
      bool const ends_epoch = (record_.step + 1) % steps_per_epoch_ == 0;
      bool const logs = record_.step == 0 || (record_.step + 1) % options_.log_every == 0 || ends_epoch;
      Metrics row = step(logs);
      if (ends_epoch) end_epoch(row);
      if (logs) log(row);
      interrupted = options_.stop != nullptr && options_.stop->requested() && record_.step < total_;
      if (ends_epoch || interrupted) save();
    }
    if (!interrupted && keeps()) {
      auto const averages = averaged();
      save_weights(weights_path(options_.out), ctx_, options_.metadata);
    }
    return {.evaluation = record_.evaluation,
            .training = record_.last_epoch,
            .steps = record_.step,
            .seconds = seconds(),
            .interrupted = interrupted};
  }

 private:
  using EmaOfRun = optim::Ema<typename Ctx::Real, typename Ctx::MemorySpace>;

  bool keeps() const { return !options_.out.empty(); }
  std::int64_t items(std::uint64_t steps) const { return static_cast<std::int64_t>(steps * task_.items_per_step()); }
  double seconds() const { return seconds_before_ + progress_->seconds(); }
  std::uint64_t epoch() const { return (record_.step + steps_per_epoch_ - 1) / steps_per_epoch_; }  // 1, 2, ...

  /// While the result lives, the parameters are the averages, where there are any.
  std::unique_ptr<typename EmaOfRun::template Averaged<Ctx>> averaged() {
    using Scope = typename EmaOfRun::template Averaged<Ctx>;
    return ema_ ? std::make_unique<Scope>(*ema_, ctx_) : nullptr;
  }

  void restore() {
    ATTN_CHECK(keeps(), "fit: name the directory of the run that is to be resumed");
    ATTN_CHECK(std::filesystem::exists(checkpoint_), "fit: there is no '", checkpoint_.string(), "' to resume from");
    io::Json const record = read_checkpoint_record(checkpoint_);
    check_settings(checkpoint_, record, options_.settings);
    record_ = FitRecord::read(checkpoint_, record, total_, measured_.size());
    load_checkpoint(checkpoint_, ctx_, parts_);
  }

  void open_log() {
    std::vector<std::string> columns = {"step", "epoch", "learning_rate", "gradient_norm", "items_per_second"};
    for (auto const& [name, _] : measured_) columns.push_back(name);
    for (auto const& name : task_.observed()) columns.push_back(name);
    for (auto const& name : task_.evaluated()) columns.push_back(name);
    io::Path before = checkpoint_;
    before.replace_extension(".previous.safetensors");
    std::error_code ignored;
    // The checkpoint of another run must not pass for one of this run, and may still be wanted.
    if (!options_.resume) std::filesystem::rename(checkpoint_, before, ignored);
    if (options_.resume) {
      log_.emplace(MetricsLog::resume(metrics_path(options_.out), columns, record_.rows));
    } else {
      log_.emplace(metrics_path(options_.out), columns);
    }
  }

  /// Trains once. Returns the row of metrics, if there is to be one.
  Metrics step(bool logs) {
    ctx_.step = record_.step;
    ctx_.training = true;
    ctx_.begin_step();
    ctx_.parameters.zero_gradients(ctx_.exec);
    Tensor<typename Ctx::Real const, 1, typename Ctx::MemorySpace> const numbers_there = task_.step(ctx_, logs);
    clip_(ctx_);
    optimizer_.learning_rate = schedule_(static_cast<Index>(record_.step));
    optimizer_.step(ctx_);
    if (ema_) ema_->update(ctx_);
    auto const [numbers, norm] = fetch(ctx_.exec, numbers_there, clip_.norm());
    ++record_.step;
    check_finite(numbers.at(0), norm);

    for (std::size_t i = 0; i < measured_.size(); ++i) {
      record_.row[i].add(numbers.at(i) * measured_[i].second);
      record_.epoch[i].add(numbers.at(i) * measured_[i].second);
    }
    progress_->label(options_.label + "  epoch " + std::to_string(epoch()) + "/" + std::to_string(options_.epochs));
    progress_->update(items(record_.step), {{measured_[0].first, record_.epoch[0].value()}});
    if (!logs) return {};
    double const seconds_of_row = progress_->seconds() - row_began_seconds_;
    Metrics row = {{"step", static_cast<double>(record_.step)},
                   {"epoch", static_cast<double>(record_.step) / static_cast<double>(steps_per_epoch_)},
                   {"learning_rate", optimizer_.learning_rate},
                   {"gradient_norm", norm},
                   {"items_per_second", static_cast<double>(items(record_.step - row_began_step_)) / seconds_of_row}};
    for (auto const& metric : take_means(record_.row)) row.push_back(metric);
    for (auto const& metric : task_.observations()) row.push_back(metric);
    return row;
  }

  /// The means of what was measured, which begin anew.
  Metrics take_means(std::vector<Mean>& means) const {
    Metrics metrics;
    for (std::size_t i = 0; i < means.size(); ++i) metrics.push_back({measured_[i].first, means[i].value()});
    for (Mean& mean : means) mean.reset();
    return metrics;
  }

  void check_finite(double loss, double norm) const {
    if (std::isfinite(loss) && std::isfinite(norm)) return;
    std::string message = std::isfinite(loss) ? "the gradient's norm became " : "the loss became ";
    message += std::to_string(std::isfinite(loss) ? norm : loss) + " in step " + std::to_string(record_.step) +
               " (epoch " + std::to_string(epoch()) + "); lower the learning rate or clip the gradients";
    if (keeps() && std::filesystem::exists(checkpoint_)) {
      message += "; the last good checkpoint is '" + checkpoint_.string() + "'";
    }
    throw io::FailedRun(message);
  }

  void end_epoch(Metrics& row) {
    {
      auto const averages = averaged();
      ctx_.training = false;
      record_.evaluation = task_.evaluate(ctx_);
      ctx_.training = true;
    }
    record_.last_epoch = take_means(record_.epoch);
    char number[64];
    std::string line = options_.label + "  epoch " + std::to_string(epoch()) + "/" + std::to_string(options_.epochs);
    auto const add = [&](std::string const& name, double value) {
      std::snprintf(number, sizeof number, " %.4f", value);
      line += "  " + name + number;
    };
    for (auto const& [name, value] : record_.last_epoch) add(name, value);
    for (auto const& [name, value] : record_.evaluation) {
      add(name, value);
      row.push_back({name, value});
      if (!std::isfinite(value)) throw io::FailedRun(line + "; lower the learning rate or clip the gradients");
    }
    std::snprintf(number, sizeof number, "  %.0f %s/s", progress_->rate(), options_.unit.c_str());
    progress_->print(line + number);
  }

  void row_begins() {
    row_began_seconds_ = progress_->seconds();
    row_began_step_ = record_.step;
  }

  void log(Metrics const& row) {
    if (log_) log_->append(row);
    if (log_) record_.rows = log_->rows();
    row_begins();
  }

  void save() {
    if (!keeps()) return;
    record_.seconds = seconds();
    try {
      save_checkpoint(checkpoint_, ctx_, parts_, record_.to_json(options_.settings), options_.metadata);
    } catch (io::FailedRun const& error) {
      throw io::FailedRun("after step " + std::to_string(record_.step) + ", " + error.what());
    }
  }

  Ctx& ctx_;
  Task& task_;
  Optimizer& optimizer_;
  Schedule const& schedule_;
  FitOptions const& options_;
  std::uint64_t steps_per_epoch_;
  std::uint64_t total_;
  io::Path checkpoint_;
  Metrics measured_;  // names and factors
  optim::GradientClip<typename Ctx::Real, typename Ctx::MemorySpace> clip_;
  std::optional<EmaOfRun> ema_;
  CheckpointParts<Ctx> parts_;
  std::optional<MetricsLog> log_;
  FitRecord record_;
  Progress* progress_ = nullptr;
  double seconds_before_ = 0;
  double row_began_seconds_ = 0;
  std::uint64_t row_began_step_ = 0;
};

}  // namespace detail

/// Trains for `options.epochs`, and returns what the last evaluation found. In `options.out` it leaves metrics.csv,
/// checkpoint.safetensors (after each epoch and on interruption) and, at the end, weights.safetensors. A checkpoint
/// that is there already, of a run that is not resumed, becomes checkpoint.previous.safetensors.
///
/// A loss or gradient that is not finite ends the run with `io::FailedRun`, which names the step; the checkpoint before
/// it stays. After an interruption, the same call with `resume` continues to the same bits as if nothing had happened.
/// A step waits once, for its loss.
template <class Ctx, Trainable<Ctx> Task, optim::Optimizer<Ctx> Optimizer, optim::Schedule Schedule>
FitResult fit(Ctx& ctx, Task& task, Optimizer& optimizer, Schedule const& schedule, FitOptions const& options) {
  return detail::FitRun<Ctx, Task, Optimizer, Schedule>(ctx, task, optimizer, schedule, options).run();
}

}  // namespace attn::train
