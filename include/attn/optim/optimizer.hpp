/// Optimizer: what turns gradients into a change of the parameters, and what it carries from step to step.
#pragma once

#include "attn/core/scalar.hpp"
#include "attn/core/tensor.hpp"
#include "attn/optim/step_count.hpp"

#include <concepts>
#include <string>
#include <vector>

namespace attn::optim {

/// What must be kept to go on after an interruption: arrays laid out as the parameters or as the buffers of the model,
/// and a count of steps. They point into the object that they describe, so that a checkpoint can be read back into it.
template <Real T, class Memory>
struct State {
  struct Array {
    std::string name;
    Tensor<T, 1, Memory> values;  // (ctx.parameters.extent()), or (ctx.parameters.buffer_extent())
    bool of_buffers = false;      // which of the two layouts
  };
  std::vector<Array> arrays;
  StepCount<Memory> steps = {};
};

/// An optimizer changes `ctx.parameters` by their gradients.
///
///  1. `optimizer.step(ctx)` changes the values once; asynchronous on `ctx.exec`, without a fence. It does not zero the
///     gradients. A parameter's new value depends on its own history alone, hence the same bits for any number of
///     threads, and zeros between parameters stay zero.
///  2. `optimizer.learning_rate` is the rate of the next step: schedules set it.
///  3. `optimizer.state(ctx)` describes all that `step` depends on besides parameters and rate: what it names, saved
///     and restored, continues to the same bits.
///  4. Attributes hold (nn/attributes.hpp): a parameter that is not trained keeps its bits, and so does what the state
///     remembers of it; one with a factor of the learning rate moves as all do at that factor times the rate.
///
///  5. While `ctx.loss_scale` says that the step is left out, nothing changes, and it is not counted.
///
/// `attn::testing::check_optimizer` tells whether a type keeps these promises.
template <class O, class Ctx>
concept Optimizer = requires(O& optimizer, Ctx& ctx) {
  optimizer.step(ctx);
  { optimizer.learning_rate } -> std::same_as<double&>;
  { optimizer.state(ctx) } -> std::same_as<State<typename Ctx::Real, typename Ctx::MemorySpace>>;
};

}  // namespace attn::optim
