/// What `fit` trains, what it can be told, and what it returns.
#pragma once

#include "attn/core/tensor.hpp"
#include "attn/io/safetensors.hpp"
#include "attn/optim/ema.hpp"
#include "attn/optim/loss_scale.hpp"
#include "attn/train/best.hpp"
#include "attn/train/distributed/sharing_options.hpp"
#include "attn/train/every.hpp"
#include "attn/train/metrics.hpp"
#include "attn/train/progress.hpp"
#include "attn/train/stop.hpp"

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace attn::train {

/// What `fit` trains: a model with its data. Steps are numbered from 0 over all epochs.
///
///  1. `task.steps_per_epoch()` and `task.items_per_step()` are counts; they do not change.
///  2. `task.start(step)` makes the data of that step the next; what `step` computes depends on its number alone.
///  3. `task.step(ctx, observe)` runs the model on the next data and adds the gradients of the loss to those in
///     `ctx.parameters`. It returns some numbers in the memory of `ctx`, and waits for nothing. `task.measured()` has
///     their names, and factors that make metrics of them: {"loss", 1}, ... The first is what is minimised, whatever
///     its name. Where a step is made of parts (`FitOptions::accumulate`), a call makes one part of it.
///     The next call may come while a device still works on this one: buffers of the host that are filled again must
///     have been copied by then. `fit` waits for `ctx.staged`, which `data::on_device` records, as others must.
///  4. `task.observations()` are further metrics of an observed step; `fit` asks for them once it has waited.
///     `task.observed()` has their names.
///  5. `task.evaluate(ctx)` judges the parameters as they are; `ctx.training` is off. `task.evaluated()` has the names.
///
/// On several ranks the tasks of all ranks have the same steps, of which each makes its parts (data/batch_parts.hpp):
///  6. The first number that `step` returns is a mean over the part, the others are sums; zeros where a part is empty.
///     `task.weight()`, if there is one, is what the part counts for beside one of equal parts.
///  7. `task.evaluate` returns the same on all ranks.
///  8. `task.identity()`, if there is one, is an object that tells whether ranks see the same data.
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

/// What a task returns for a part of a step without data: zeros.
template <class Ctx>
Tensor<typename Ctx::Real const, 1, typename Ctx::MemorySpace> nothing_measured(Ctx& ctx, std::size_t numbers) {
  auto const zeros = ctx.template tensor<typename Ctx::Real>(static_cast<Index>(numbers));
  Kokkos::deep_copy(ctx.exec, zeros.view(), typename Ctx::Real(0));
  return zeros;
}

/// What `fit` can be told.
struct FitOptions {
  std::uint64_t epochs = 1;
  double clip = 0;               ///< limit of the global norm of the gradients; 0: none
  std::uint64_t accumulate = 1;  ///< parts of a step, on each rank: it follows the mean of their gradients
  std::optional<optim::LossScaleOptions> loss_scale = {};  ///< for numbers of fp16 between layers
  std::optional<optim::EmaOptions> ema = {};               ///< average the weights
  bool judge_averages = true;  ///< averages are what is evaluated and kept; else they go to average.safetensors, beside
                               ///< the weights
  std::uint64_t log_every = 20;  ///< steps between rows of metrics; the first step and an evaluation have one too
  /// Steps that a device may be behind the host, which reads what they measured together: a loss that is not finite
  /// is noticed as many steps late, at most. 0: 16 on a device, and on a host each step is read.
  std::uint64_t wait_every = 0;
  Every evaluate = {};                     ///< none: after each epoch; and after the last step
  Every checkpoint = {};                   ///< none: after each evaluation; and after the last step
  std::optional<KeepBest> best = {};       ///< keep the weights of the best evaluation in best.safetensors
  io::Path out = {};                       ///< where files go; empty: nothing is written
  bool resume = false;                     ///< continue from the checkpoint in `out`
  io::Json settings = io::Json::object();  ///< what the result depends on; must be the same to resume
  /// Settings that a program got later, with what it did before: checkpoints from then are resumed with these.
  io::Json later_settings = io::Json::object();
  io::Metadata metadata = {};      ///< goes into the files of weights
  std::string label = "training";  ///< what progress lines begin with
  std::string unit = "images";     ///< of the items
  ProgressOptions progress = {};
  SharingOptions sharing = {};
  StopRequest const* stop = nullptr;  ///< ends the run, with a checkpoint, when it is requested
};

/// What `fit` returns.
struct FitResult {
  Metrics evaluation = {};  ///< the last
  Metrics training = {};    ///< what the steps before it measured, mean since the evaluation before
  Best best = {};           ///< if it was asked for
  std::uint64_t steps = 0;  ///< of all epochs so far
  double seconds = 0;       ///< of all epochs so far, with evaluation
  bool interrupted = false;
};

}  // namespace attn::train
