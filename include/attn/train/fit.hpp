/// fit: the training loop. Steps, schedule, clipping, averages, evaluation, metrics, checkpoints, interruption.
#pragma once

#include "attn/optim/optimizer.hpp"
#include "attn/optim/schedule.hpp"
#include "attn/train/detail/fit_run.hpp"
#include "attn/train/fit_options.hpp"

namespace attn::train {

/// Trains for `options.epochs`, and returns what the last evaluation found. In `options.out` it leaves metrics.csv,
/// checkpoint.safetensors (after evaluations or as often as asked for, and on interruption), best.safetensors if it was
/// asked for, and, at the end, weights.safetensors. A checkpoint that is there already, of a run that is not resumed,
/// becomes checkpoint.previous.safetensors.
///
/// A loss or gradient that is not finite ends the run with `io::FailedRun`, which names the step; the checkpoint before
/// it stays. After an interruption, the same call with `resume` continues to the same bits as if nothing had happened.
/// A step waits once, for its loss, and once more for each further part.
template <class Ctx, Trainable<Ctx> Task, optim::Optimizer<Ctx> Optimizer, optim::Schedule Schedule>
FitResult fit(Ctx& ctx, Task& task, Optimizer& optimizer, Schedule const& schedule, FitOptions const& options) {
  return detail::FitRun<Ctx, Task, Optimizer, Schedule>(ctx, task, optimizer, schedule, options).run();
}

}  // namespace attn::train
