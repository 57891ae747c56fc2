/// Pinn: the plain network of physics-informed learning, linear layers with a function between them.
#pragma once

#include "attn/nn/function.hpp"
#include "attn/nn/linear.hpp"

#include <utility>
#include <vector>

namespace attn::models {

/// Sizes of a `Pinn`.
struct PinnConfig {
  Index inputs = 2;
  Index outputs = 1;
  Index width = 512;
  Index layers = 4;  ///< linear layers
};

/// 527,361 parameters with 2 inputs and 1 output: linear.0, linear.2, ... (Raissi, Perdikaris and Karniadakis 2019).
template <class F = nn::Tanh>
class Pinn {
 public:
  using Config = PinnConfig;

  template <class Ctx>
  struct Tape {
    std::vector<nn::Linear::Tape<nn::ConstTensorOf<Ctx, 3>>> linear;
    std::vector<nn::TapeOf<nn::Pointwise<F>, Ctx, nn::TensorOf<Ctx, 3>>> function;
  };

  Pinn(nn::Builder const& builder, Config const& config, F const& f = {}) : config_(config), function_(f) {
    ATTN_CHECK(config.layers >= 2, "Pinn: give at least 2 linear layers, got ", config.layers);
    for (Index l = 0; l < config.layers; ++l) {
      Index const inputs = l == 0 ? config.inputs : config.width;
      Index const outputs = l + 1 == config.layers ? config.outputs : config.width;
      linear_.emplace_back(builder / "linear" / (2 * l),
                           nn::Linear::Config{.inputs = inputs,
                                              .outputs = outputs,
                                              .initial = nn::xavier_uniform(inputs, outputs),
                                              .initial_bias = nn::constant(0.01)});
    }
  }

  /// points (B, N, inputs) -> (B, N, outputs); every token on its own.
  template <class Ctx, class X>
  nn::Forward<nn::TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, X const& points) const {
    nn::ConstTensorOf<Ctx, 3> x = points;
    ATTN_CHECK(x.extent(2) == config_.inputs, "Pinn::forward: give points of ", config_.inputs, " coordinates, got ",
               x.extent(2));
    Tape<Ctx> tape;
    for (std::size_t l = 0; l + 1 < linear_.size(); ++l) {
      auto [z, linear_tape] = linear_[l].forward(ctx, x);
      auto [y, function_tape] = function_.forward(ctx, z);
      tape.linear.push_back(linear_tape);
      tape.function.push_back(function_tape);
      x = y;
    }
    auto [y, last] = linear_.back().forward(ctx, x);
    tape.linear.push_back(last);
    return {y, std::move(tape)};
  }

  template <class Ctx, class D>
  nn::TensorOf<Ctx, 3> backward(Ctx& ctx, Tape<Ctx>&& tape, D const& d_y) const {
    nn::TensorOf<Ctx, 3> d = linear_.back().backward(ctx, std::move(tape.linear.back()), d_y);
    for (std::size_t l = linear_.size() - 1; l-- > 0;) {
      auto const d_z = function_.backward(ctx, std::move(tape.function[l]), d);
      d = linear_[l].backward(ctx, std::move(tape.linear[l]), d_z);
    }
    return d;
  }

 private:
  Config config_;
  std::vector<nn::Linear> linear_;
  nn::Pointwise<F> function_;
};

}  // namespace attn::models
