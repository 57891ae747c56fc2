/// FitRun: one call of `fit`, step after step.
#pragma once

#include "attn/optim/clip.hpp"
#include "attn/train/detail/accumulate.hpp"
#include "attn/train/detail/fit_record.hpp"
#include "attn/train/detail/step_numbers.hpp"
#include "attn/train/distributed/agreement.hpp"
#include "attn/train/distributed/detail/shared_step.hpp"
#include "attn/train/distributed/rank_trace.hpp"
#include "attn/train/fit_options.hpp"
#include "attn/train/run_files.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace attn::train::detail {

/// What ranks must have in common besides their models.
template <class Task>
io::Json data_identity(Task const& task) {
  if constexpr (requires { task.identity(); }) {
    return task.identity();
  } else {
    return io::Json::object();
  }
}

/// One call of `fit`, on one of the ranks of `C`.
template <class Ctx, class Task, class Optimizer, class Schedule, class C>
class FitRun {
 public:
  FitRun(Ctx& ctx, Task& task, Optimizer& optimizer, Schedule const& schedule, FitOptions const& options, C& ranks)
      : ctx_(ctx),
        task_(task),
        optimizer_(optimizer),
        schedule_(schedule),
        options_(options),
        ranks_(ranks),
        steps_per_epoch_(task.steps_per_epoch()),
        total_(steps_per_epoch_ * options.epochs),
        files_(options.out, options.settings, ranks.rank() == 0, options.later_settings),
        measured_(task.measured()),
        accumulator_(options.accumulate),
        step_numbers_(waits_every(options)),
        clip_(options.clip),
        shared_(ctx, optimizer, ranks, options.sharing, options.accumulate, weight_of(task)),
        trace_(ranks, options.sharing.trace),
        parts_{{"optimizer", shared_.state()}} {
    ATTN_CHECK(steps_per_epoch_ > 0 && options.log_every > 0 && options.accumulate > 0,
               "fit: give an epoch steps, and log_every and accumulate at least 1");
    if (!shared_.alone()) {
      check_agreement(ranks, identity());
      check_shared_disk(ranks, options.out);
    }
    if (options.loss_scale) loss_scale_.emplace(ctx, *options.loss_scale);
    if (options.ema) {
      ema_.emplace(ctx, *options.ema);
      parts_.push_back({"average", ema_->state(ctx)});
    }
    record_.row.resize(measured_.size());
    record_.epoch.resize(measured_.size());
    if (options.resume) {
      restore();
      files_.continue_log(columns(), record_.rows);
    } else {
      std::error_code ignored;  // the best weights of another run must not pass for this run's
      if (options.best && files_.writes()) std::filesystem::remove(best_path(options.out), ignored);
      files_.begin_log(columns());
    }
  }

  FitResult run() {
    std::ostream nowhere(nullptr);
    ProgressOptions shown = options_.progress;
    if (!shared_.leads()) shown = {.stream = &nowhere, .terminal = false};
    Progress progress(options_.label, items(total_), options_.unit, items(record_.step), shown);
    progress_ = &progress;
    seconds_before_ = record_.seconds;
    row_begins();
    Rhythm evaluation(options_.evaluate), checkpoint(options_.checkpoint);
    bool interrupted = false;
    trace_.begin();
    if (record_.step < total_) task_.start(record_.step);
    while (record_.step < total_ && !interrupted) {
      std::uint64_t const done = record_.step + 1;
      bool const ends_epoch = done % steps_per_epoch_ == 0, ends = done == total_;
      bool const evaluates = ends || (options_.evaluate ? due(evaluation, options_.evaluate, done) : ends_epoch);
      bool const logs = done == 1 || done % options_.log_every == 0 || ends_epoch || evaluates;
      step(logs);
      if (logs || evaluates || step_numbers_.full()) read_numbers();
      Metrics row = logs ? row_of_metrics() : Metrics();
      if (evaluates) evaluate(row);
      if (logs) log(row);
      interrupted = options_.stop != nullptr && shared_.any(options_.stop->requested()) && !ends;
      bool const saves = options_.checkpoint ? due(checkpoint, options_.checkpoint, done) : evaluates;
      if (saves || ends || interrupted) {
        read_numbers();
        save();
      }
    }
    if (!interrupted && files_.writes()) save_results();
    trace_.end();
    ranks_.barrier();  // what one rank wrote may now be read by all
    return {.evaluation = record_.evaluation,
            .training = record_.last_epoch,
            .best = best_,
            .steps = record_.step,
            .seconds = seconds(),
            .interrupted = interrupted};
  }

 private:
  using LossScale = optim::LossScale<Ctx>;
  using EmaOfRun = optim::Ema<typename Ctx::Real, typename Ctx::MemorySpace>;

  /// What must be the same on all ranks.
  io::Json identity() {
    io::Json settings = options_.settings;
    settings.update({{"epochs", options_.epochs},
                     {"steps_per_epoch", steps_per_epoch_},
                     {"clip", options_.clip},
                     {"parts_of_a_rank", options_.accumulate},
                     {"log_every", options_.log_every},
                     {"wait_every", waits_every(options_)},
                     {"evaluate", options_.evaluate.text()},
                     {"checkpoint", options_.checkpoint.text()},
                     {"resume", options_.resume},
                     {"out", options_.out.string()},
                     {"shard_optimizer", options_.sharing.shard_optimizer},
                     {"bucket", options_.sharing.bucket},
                     {"any_order", options_.sharing.any_order}});
    return identity_of(ctx_, settings, data_identity(task_));
  }

  /// Ranks agree on steps by themselves; of the time, one decides.
  bool due(Rhythm& rhythm, Every const& every, std::uint64_t done) {
    bool const now = rhythm.due(done);
    return every.seconds > 0 ? shared_.as_first(now) : now;
  }

  std::int64_t items(std::uint64_t steps) const { return static_cast<std::int64_t>(steps * task_.items_per_step()); }
  double seconds() const { return seconds_before_ + progress_->seconds(); }
  std::uint64_t epoch_of(std::uint64_t step) const { return (step + steps_per_epoch_ - 1) / steps_per_epoch_; }
  std::uint64_t epoch() const { return epoch_of(record_.step); }  // 1, 2, ...

  /// While the result lives, the parameters are the averages, where there are any and they are `wanted`.
  std::unique_ptr<typename EmaOfRun::template Averaged<Ctx>> averaged(bool wanted) {
    using Scope = typename EmaOfRun::template Averaged<Ctx>;
    return ema_ && wanted ? std::make_unique<Scope>(*ema_, ctx_) : nullptr;
  }

  void save_results() {
    {
      auto const averages = averaged(options_.judge_averages);
      save_weights(weights_path(options_.out), ctx_, options_.metadata);
    }
    if (!ema_ || options_.judge_averages) return;
    auto const averages = averaged(true);
    save_weights(average_path(options_.out), ctx_, options_.metadata);
  }

  void restore() {
    io::Json const record = files_.read_record();
    record_ = FitRecord::read(files_.checkpoint(), record, total_, measured_.size());
    best_ = Best::read(record.value("best", io::Json(nullptr)), record_.step, files_.checkpoint().string());
    files_.load(ctx_, parts_);
    if (loss_scale_) {
      RecordFields const fields(files_.checkpoint(), record);
      loss_scale_->set(fields.number("loss_scale", LossScale::least), fields.count("loss_scale_steps", record_.step));
    }
    shared_.after_load();
  }

  std::vector<std::string> columns() const {
    std::vector<std::string> columns = {"step", "epoch", "learning_rate", "gradient_norm", "items_per_second"};
    for (auto const& [name, _] : measured_) columns.push_back(name);
    for (auto const& name : task_.observed()) columns.push_back(name);
    for (auto const& name : task_.evaluated()) columns.push_back(name);
    return columns;
  }

  /// Steps between two waits, at most: a host that computes by itself gains nothing by running ahead.
  static std::uint64_t waits_every(FitOptions const& options) {
    if (options.wait_every > 0) return options.wait_every;
    return HostExecutionSpace<typename Ctx::Space> ? 1 : 16;
  }

  /// Trains once.
  void step(bool logs) {
    ctx_.training = true;
    ctx_.parameters.zero_gradients(ctx_.exec);
    typename Accumulator<Ctx>::Numbers numbers_there;
    auto const size = static_cast<std::uint64_t>(ranks_.size()), rank = static_cast<std::uint64_t>(ranks_.rank());
    std::uint64_t const parts = options_.accumulate * size;
    for (std::uint64_t part = 0; part < options_.accumulate; ++part) {
      bool const last = part + 1 == options_.accumulate;
      ctx_.step = record_.step * parts + part * size + rank;  // every part has dropout of its own
      ctx_.begin_step();
      if (last) shared_.begin_gradients();
      ctx_.staged.wait();  // the task may fill its buffers again
      auto const span = trace_.span("forward and backward");
      numbers_there = accumulator_.add(ctx_, part, task_.step(ctx_, logs && last));
    }
    ctx_.step = record_.step;
    {
      auto const span = trace_.span("waiting for sums");
      if (shared_.alone()) accumulator_.average_gradients(ctx_);
      shared_.end_gradients();
    }
    auto const span = trace_.span("optimizer");
    clip_(ctx_);
    optimizer_.learning_rate = schedule_(static_cast<Index>(record_.step));
    shared_.step_optimizer();
    if (ema_) ema_->update(ctx_);
    step_numbers_.keep(ctx_, ++record_.step, numbers_there, clip_.norm());
  }

  /// Waits for the steps so far, and takes what they measured; nothing where they were read before.
  void read_numbers() {
    auto steps = step_numbers_.take(ctx_);
    if (steps.empty()) return;  // their means may have begun anew
    double const parts = double(options_.accumulate) * double(ranks_.size());
    for (auto& [step, numbers, norm] : steps) {
      shared_.add_numbers(numbers);
      check_finite(step, numbers.at(0), norm);
      norm_ = norm;
      for (std::size_t i = 0; i < measured_.size(); ++i) {
        double const number = numbers.at(i) * (measured_[i].second / parts);
        record_.row[i].add(number);
        record_.epoch[i].add(number);
      }
    }
    progress_->label(options_.label + "  epoch " + std::to_string(epoch()) + "/" + std::to_string(options_.epochs));
    progress_->update(items(record_.step), {{measured_[0].first, record_.epoch[0].value()}});
  }

  /// What is logged of the step that was read last.
  Metrics row_of_metrics() {
    double const seconds_of_row = progress_->seconds() - row_began_seconds_;
    Metrics row = {{"step", static_cast<double>(record_.step)},
                   {"epoch", static_cast<double>(record_.step) / static_cast<double>(steps_per_epoch_)},
                   {"learning_rate", optimizer_.learning_rate},
                   {"gradient_norm", norm_},
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

  /// With a scaled loss, steps whose gradient overflows are left out; where no scale is small enough, that is no
  /// remedy.
  bool may_be_left_out(double norm) {
    left_out_ = std::isfinite(norm) ? 0 : left_out_ + 1;
    return loss_scale_ && left_out_ < 40;
  }

  void check_finite(std::uint64_t step, double loss, double norm) {
    bool const goes_on = may_be_left_out(norm) || std::isfinite(norm);
    if (std::isfinite(loss) && goes_on) return;
    std::string message =
        std::isfinite(loss) ? "the gradient's norm became " : "the " + measured_[0].first + " became ";
    message += std::to_string(std::isfinite(loss) ? norm : loss) + " in step " + std::to_string(step) + " (epoch " +
               std::to_string(epoch_of(step)) + "); lower the learning rate or clip the gradients";
    if (files_.has_checkpoint()) message += "; the last good checkpoint is '" + files_.checkpoint().string() + "'";
    throw io::FailedRun(message);
  }

  void evaluate(Metrics& row) {
    auto const span = trace_.span("evaluation");
    {
      auto const averages = averaged(options_.judge_averages);
      ctx_.training = false;
      record_.evaluation = task_.evaluate(ctx_);
      ctx_.training = true;
      bool const better = options_.best && best_.improve(*options_.best, record_.evaluation, record_.step);
      if (better && files_.writes()) save_weights(best_path(options_.out), ctx_, options_.metadata);
    }
    record_.last_epoch = take_means(record_.epoch);
    char number[64];
    std::string line = options_.label + "  epoch " + std::to_string(epoch()) + "/" + std::to_string(options_.epochs);
    if (options_.evaluate) line += "  step " + std::to_string(record_.step);
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
    files_.log(row);
    record_.rows = files_.rows();
    row_begins();
  }

  void save() {
    auto const span = trace_.span("checkpoint");
    shared_.before_save();
    record_.seconds = seconds();
    io::Json record = record_.to_json(options_.settings);
    record["best"] = best_.to_json();
    if (loss_scale_) {
      auto const [scale, good_steps] = loss_scale_->get();
      record.update({{"loss_scale", scale}, {"loss_scale_steps", good_steps}});
    }
    try {
      files_.save(ctx_, parts_, std::move(record), options_.metadata);
    } catch (io::FailedRun const& error) {
      throw io::FailedRun("after step " + std::to_string(record_.step) + ", " + error.what());
    }
  }

  Ctx& ctx_;
  Task& task_;
  Optimizer& optimizer_;
  Schedule const& schedule_;
  FitOptions const& options_;
  C& ranks_;
  std::uint64_t steps_per_epoch_;
  std::uint64_t total_;
  RunFiles files_;
  Metrics measured_;  // names and factors
  Accumulator<Ctx> accumulator_;
  StepNumbers<Ctx> step_numbers_;
  optim::GradientClip<typename Ctx::Real, typename Ctx::MemorySpace> clip_;
  SharedStep<Ctx, Optimizer, C> shared_;
  RankTrace<C> trace_;
  std::optional<LossScale> loss_scale_;
  int left_out_ = 0;  // steps in a row, because of their gradient
  std::optional<EmaOfRun> ema_;
  CheckpointParts<Ctx> parts_;
  FitRecord record_;
  Best best_;
  Progress* progress_ = nullptr;
  double norm_ = 0;  // of the gradient in the step that was read last
  double seconds_before_ = 0;
  double row_began_seconds_ = 0;
  std::uint64_t row_began_step_ = 0;
};

}  // namespace attn::train::detail
