/// Context: what every module is handed: where it runs, its parameters, its memory, its random numbers.
#pragma once

#include "attn/core/event.hpp"
#include "attn/core/jet_tensor.hpp"
#include "attn/core/launch.hpp"
#include "attn/core/random.hpp"
#include "attn/core/workspace.hpp"
#include "attn/nn/packed_sequences.hpp"
#include "attn/nn/parameters.hpp"

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>

namespace attn::nn {

/// By what losses are multiplied, where kernels are: `optim::LossScale` makes it, losses and optimizers read it.
struct LossScaleNumbers {
  double scale;              ///< of this step's losses: a power of two
  std::uint64_t good_steps;  ///< since it changed
  std::uint64_t interval;    ///< of as many good steps it is doubled
  std::uint64_t skips;       ///< 1 while the step that runs is left out, else 0
};

/// One model in training or use. `T` is the scalar of the computation: a real, or a jet that carries derivatives; the
/// parameters are real in either case.
///
///     attn::nn::Context<Kokkos::DefaultExecutionSpace> ctx(/*seed=*/1);
///     Model model(ctx, config);                    // registers its parameters under the names of the root
///     for (;; ++ctx.step) {
///       ctx.begin_step();
///       auto [y, tape] = model.forward(ctx, x);    // y and the tape lie in ctx.workspace until the next begin_step()
///       ...
///     }
template <ExecutionSpace Exec, class T = float>
class Context {
 public:
  using Space = Exec;
  using MemorySpace = typename Exec::memory_space;
  using Scalar = T;
  using Real = RealOf<T>;

 private:
  struct Store {
    Parameters<Real, MemorySpace> parameters;
    Workspace<MemorySpace> workspace;
    Event<Exec> staged;
  };
  std::unique_ptr<Store> own_;

 public:
  explicit Context(std::uint64_t seed = 0, Exec const& instance = Exec())
      : own_(new Store{
            .parameters = Parameters<Real, MemorySpace>(RandomKey{.seed = seed}), .workspace = {}, .staged = {}}),
        exec(instance),
        parameters(own_->parameters),
        workspace(own_->workspace),
        staged(own_->staged),
        random{.seed = seed} {}

  /// Computes with another scalar over the parameters and the memory of `other`, which must outlive this.
  template <class U>
  requires(!std::same_as<U, T> && std::same_as<RealOf<U>, Real>) explicit Context(Context<Exec, U>& other)
      : exec(other.exec),
        parameters(other.parameters),
        workspace(other.workspace),
        staged(other.staged),
        random(other.random),
        step(other.step),
        step_there(other.step_there),
        loss_scale(other.loss_scale),
        training(other.training),
        keep_tape(other.keep_tape),
        sequences(other.sequences) {}

  Exec exec;
  Parameters<Real, MemorySpace>& parameters;
  Workspace<MemorySpace>& workspace;
  /// What was copied from buffers of the host (`data::on_device`): these may change once it is reached.
  Event<Exec>& staged;
  RandomKey random;
  /// The number of the step: dropout and stochastic depth draw by (random, step, site). The trainer advances it.
  std::uint64_t step = 0;
  /// Where kernels read that number instead, in MemorySpace, if it is not null: for steps that a graph of launches
  /// repeats, whose arguments stay. Who sets it counts (`StepThere`).
  std::uint64_t const* step_there = nullptr;
  /// By what the gradients of losses are multiplied, in MemorySpace; null: by nothing.
  LossScaleNumbers* loss_scale = nullptr;
  /// Whether dropout and stochastic depth act.
  bool training = true;
  /// Whether `forward` keeps what `backward` needs although `training` is off: gradients or attention maps of a model
  /// in evaluation.
  bool keep_tape = false;
  /// Lengths of padded sequences, or what is packed, in the calls to come: see `WithSequences`.
  CallSequences<MemorySpace> sequences = {};
  /// Of jets: which coefficients `tensor` keeps, and whether it makes tensors of values or of adjoints. Whoever calls
  /// `backward` sets it to `planes.adjoint()` for that time (`AdjointPhase`); modules do not care.
  PlanesOf<T> planes = {};

  /// Gives back the memory of the step before: its outputs and tapes end here.
  void begin_step() { workspace.reset(); }

  bool keeps_tape() const { return training || keep_tape; }

  /// The root of names: modules are constructed from it.
  operator Builder() { return Builder(parameters); }
  Builder operator/(std::string_view name) { return Builder(parameters) / name; }

  /// A contiguous tensor of this step, of the scalar of the computation or of `U`. Not initialised.
  template <class U = T, std::integral... Sizes>
  auto tensor(Sizes... extents) {
    return tensor<U>(Extents<int(sizeof...(Sizes))>{static_cast<Index>(extents)...});
  }
  template <class U = T, std::size_t Rank>
  Tensor<U, int(Rank), MemorySpace> tensor(Kokkos::Array<Index, Rank> const& extents) {
    Index size = 1;
    for (Index const extent : extents) size *= extent;
    if constexpr (AnyJet<U>) {
      static_assert(std::same_as<U, T>, "Context::tensor: ask for jets of the context's own kind");
      return {workspace.template tensor<Real>(planes.count * size).data(), extents, planes};
    } else {
      return {workspace.template tensor<U>(size).data(), extents};
    }
  }

  /// Gives back, when it dies, what was taken in its life, unless the tape is kept: what a module takes between its
  /// output and its return serves only a tape.
  class Scratch {
   public:
    explicit Scratch(Context& ctx) {
      if (!ctx.keeps_tape()) scope_.emplace(ctx.workspace);
    }

   private:
    std::optional<typename Workspace<MemorySpace>::Scope> scope_;
  };
};

/// While one lives, `ctx.tensor` makes adjoints of jets: what a backward pass returns. Of reals it changes nothing.
template <class Ctx>
class AdjointPhase {
 public:
  explicit AdjointPhase(Ctx& ctx) : ctx_(ctx) { ctx_.planes = ctx_.planes.adjoint(); }
  ~AdjointPhase() { ctx_.planes = ctx_.planes.adjoint(); }
  AdjointPhase(AdjointPhase const&) = delete;
  AdjointPhase& operator=(AdjointPhase const&) = delete;

 private:
  Ctx& ctx_;
};

namespace detail {

struct SetStep {
  std::uint64_t* step;
  std::uint64_t number;
  ATTN_FUNCTION void operator()(Index) const { *step = number; }
};
struct NextStep {
  std::uint64_t* step;
  ATTN_FUNCTION void operator()(Index) const { ++*step; }
};

}  // namespace detail

/// While one lives, the number of the step lies in memory for the kernels of `ctx` and of contexts that are made from
/// it afterwards: dropout and stochastic depth read it there, so that steps are the same launches, which a CUDA graph
/// may repeat.
///
///     attn::nn::StepThere step_there(ctx);
///     ... forward, backward, clip, optimizer.step(ctx), step_there.next(ctx) ...   // recorded once, then replayed
template <class Ctx>
class StepThere {
 public:
  explicit StepThere(Ctx& ctx) : ctx_(ctx), step_("attn::nn::StepThere", 1) {
    ctx.step_there = step_.data();
    set(ctx);
  }
  ~StepThere() { ctx_.step_there = nullptr; }
  StepThere(StepThere const&) = delete;
  StepThere& operator=(StepThere const&) = delete;

  /// Takes over the number that `ctx.step` is now. Asynchronous on `ctx.exec`.
  void set(Ctx& ctx) {
    attn::detail::run_once(ctx.exec, "attn::nn::StepThere", detail::SetStep{step_.data(), ctx.step});
  }
  /// Adds one, in memory and to `ctx.step`. Asynchronous on `ctx.exec`.
  void next(Ctx& ctx) {
    attn::detail::run_once(ctx.exec, "attn::nn::StepThere", detail::NextStep{step_.data()});
    ++ctx.step;
  }

 private:
  Ctx& ctx_;
  Kokkos::View<std::uint64_t*, typename Ctx::MemorySpace> step_;
};

/// While one lives, modules that are called with `ctx` know the lengths of the sequences that they are given, or how
/// these are packed. Forward passes read it; a backward pass has it from its tape.
///
///     attn::nn::WithSequences const padded(ctx, {.lengths = lengths});
///     auto [y, tape] = block.forward(ctx, x);   // of TransformerBlock<MultiHeadAttention<A, KeyPadding>, ...>
template <class Ctx>
class WithSequences {
 public:
  WithSequences(Ctx& ctx, CallSequences<typename Ctx::MemorySpace> const& sequences)
      : ctx_(ctx), before_(ctx.sequences) {
    ctx.sequences = sequences;
  }
  ~WithSequences() { ctx_.sequences = before_; }
  WithSequences(WithSequences const&) = delete;
  WithSequences& operator=(WithSequences const&) = delete;

 private:
  Ctx& ctx_;
  CallSequences<typename Ctx::MemorySpace> before_;
};

/// Tensors of a context's scalar in its memory, for signatures: `TensorOf<Ctx, 3> x`, and one that is only read.
template <class Ctx, int Rank>
using TensorOf = Tensor<typename Ctx::Scalar, Rank, typename Ctx::MemorySpace>;
/// The same, to be read alone.
template <class Ctx, int Rank>
using ConstTensorOf = Tensor<typename Ctx::Scalar const, Rank, typename Ctx::MemorySpace>;

}  // namespace attn::nn
