/// SharedStep: what the ranks of a run do together in a step. Of a process that is alone, nothing.
#pragma once

#include "attn/train/distributed/detail/gradient_sum.hpp"
#include "attn/train/distributed/detail/optimizer_shard.hpp"
#include "attn/train/distributed/sharing_options.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace attn::train::detail {

/// What a rank's part of a step counts for beside an equal one.
template <class Task>
double weight_of(Task const& task) {
  if constexpr (requires { task.weight(); }) {
    return task.weight();
  } else {
    return 1;
  }
}

template <class Ctx, class Optimizer, class C>
class SharedStep {
 public:
  /// A step has `parts` parts on each rank.
  SharedStep(Ctx& ctx, Optimizer& optimizer, C& ranks, SharingOptions const& options, std::uint64_t parts,
             double weight)
      : ctx_(ctx),
        optimizer_(optimizer),
        ranks_(ranks),
        weight_(weight),
        gradient_(ranks, options.bucket * 1e6, weight / (double(parts) * ranks.size())) {
    if (ranks.size() == 1) return;
    std::vector<double> has_samples = {weight > 0 ? 1.0 : 0.0};
    ranks.sum(has_samples);
    ranks_with_samples_ = has_samples[0];
    if (!options.shard_optimizer) return;
    Stretch const own = stretch_of(ctx.parameters.extent(), ranks.rank(), ranks.size(), nn::ParameterRegistry::granule);
    shard_.emplace(ctx, own);
    state_.emplace(ctx, optimizer.state(*shard_), own);
  }

  bool alone() const { return ranks_.size() == 1; }
  bool leads() const { return ranks_.rank() == 0; }

  ///@{
  /// Around the pass that completes the gradients of a step: afterwards they are the mean over all parts of all ranks.
  void begin_gradients() {
    if (!alone()) gradient_.begin(ctx_);
  }
  void end_gradients() {
    if (!alone()) gradient_.end(ctx_);
  }
  ///@}

  /// Steps the optimizer, and makes buffers (running statistics) the mean over ranks.
  void step_optimizer() {
    if (!shard_) {
      optimizer_.step(ctx_);
    } else {
      shard_->step = ctx_.step;
      shard_->loss_scale = ctx_.loss_scale;
      optimizer_.step(*shard_);
      ranks_.gather_slices(ctx_.exec, ctx_.parameters.values());
    }
    Index const extent = ctx_.parameters.buffer_extent();
    if (alone() || extent == 0) return;
    using T = typename Ctx::Real;
    auto const buffers = ctx_.parameters.buffers();
    auto const scale = [&](double factor) {
      elementwise<T>(ctx_.exec, "attn::train::SharedStep", 1, extent, ScaleAll<T>{buffers.data(), T(factor)});
    };
    if (weight_ == 0) scale(0);
    ranks_.start(ctx_.exec, buffers);
    ranks_.finish(ctx_.exec);
    scale(1 / ranks_with_samples_);
  }

  /// Numbers that the step measured, the first a mean, become sums over ranks.
  void add_numbers(std::vector<double>& numbers) {
    if (alone()) return;
    numbers.at(0) *= weight_;
    ranks_.sum(numbers);
  }

  /// Whether any rank says so.
  bool any(bool mine) {
    if (alone()) return mine;
    std::vector<double> all = {mine ? 1.0 : 0.0};
    ranks_.sum(all);
    return all[0] > 0;
  }
  /// What rank 0 says, which looks at the clock.
  bool as_first(bool mine) { return any(mine && leads()); }

  /// The optimizer's state as checkpoints have it.
  optim::State<typename Ctx::Real, typename Ctx::MemorySpace> state() const {
    return state_ ? state_->state() : optimizer_.state(ctx_);
  }
  void before_save() {
    if (state_) state_->collect(ctx_, ranks_);
  }
  void after_load() {
    if (state_) state_->distribute(ctx_);
  }

 private:
  Ctx& ctx_;
  Optimizer& optimizer_;
  C& ranks_;
  double weight_;
  double ranks_with_samples_ = 1;
  GradientSum<Ctx, C> gradient_;
  std::optional<ShardContext<Ctx>> shard_;
  std::optional<CollectedState<Ctx>> state_;
};

}  // namespace attn::train::detail
