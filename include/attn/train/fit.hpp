/// fit: the training loop. Steps, schedule, clipping, averages, evaluation, metrics, checkpoints, interruption.
#pragma once

#include "attn/optim/optimizer.hpp"
#include "attn/optim/schedule.hpp"
#include "attn/train/detail/fit_run.hpp"
#include "attn/train/distributed/communicator.hpp"
#include "attn/train/fit_options.hpp"

namespace attn::train {

/// Trains for `options.epochs`, and returns what the last evaluation found. In `options.out` it leaves metrics.csv,
/// checkpoint.safetensors (after evaluations or as often as asked for, and on interruption), best.safetensors if it was
/// asked for, and, at the end, weights.safetensors. A checkpoint that is there already, of a run that is not resumed,
/// becomes checkpoint.previous.safetensors.
///
/// A loss or gradient that is not finite ends the run with `io::FailedRun`, which names the step; the checkpoint before
/// it stays. After an interruption, the same call with `resume` continues to the same bits as if nothing had happened.
/// On a host a step waits once, for its loss, and once more for each further part. A device may be as many steps behind
/// as `wait_every` says, and what is not finite is noticed as late; no checkpoint is written before.
///
/// With a communicator, this is one of the ranks that train together. Each makes its parts of every step (Trainable);
/// the gradient is the mean over all parts, its norm and the metrics are those of the whole step, and parameters are
/// equal on all ranks. Rank 0 writes the files, which are those of a single process: another number of ranks may resume
/// from them, to the same numbers but for rounding where a step has as many parts.
template <class Ctx, Trainable<Ctx> Task, optim::Optimizer<Ctx> Optimizer, optim::Schedule Schedule,
          Communicator<typename Ctx::Space, typename Ctx::Real> C>
FitResult fit(Ctx& ctx, Task& task, Optimizer& optimizer, Schedule const& schedule, FitOptions const& options,
              C& ranks) {
  return detail::FitRun<Ctx, Task, Optimizer, Schedule, C>(ctx, task, optimizer, schedule, options, ranks).run();
}

/// The same in a process that is alone.
template <class Ctx, Trainable<Ctx> Task, optim::Optimizer<Ctx> Optimizer, optim::Schedule Schedule>
FitResult fit(Ctx& ctx, Task& task, Optimizer& optimizer, Schedule const& schedule, FitOptions const& options) {
  SingleProcess alone;
  return fit(ctx, task, optimizer, schedule, options, alone);
}

}  // namespace attn::train
