/// ClassTokenAndPositions: a learned token in front of a sequence, and a learned vector added at each position.
#pragma once

#include "attn/linalg/reduce.hpp"
#include "attn/nn/dropout.hpp"
#include "attn/nn/module.hpp"

namespace attn::nn {

namespace detail {

/// y_0 = class token + position_0, y_t = x_(t-1) + position_t, then dropout. Rows are (sample, token).
template <class T>
struct AddPositions {
  using R = RealOf<T>;
  T const* x;
  R const* class_token;
  R const* positions;
  T* y;
  Index tokens, width;  // with the class token
  DropoutMask<R> mask;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const sample = row / tokens, token = row % tokens, at = row * width + column;
    auto value = lanes.load(positions + token * width + column) +
                 (token == 0 ? lanes.load(class_token + column) : lanes.load(x + (row - sample - 1) * width + column));
    if (!mask.is_off()) value *= mask.factors(lanes, at);
    lanes.store(y + at, value);
  }
};

/// d_x_(t-1) = dropout'(d_y_t).
template <class T>
struct PositionsBackward {
  T const* d_y;
  T* d_x;
  Index tokens, width;
  DropoutMask<RealOf<T>> mask;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const from = (row + row / (tokens - 1) + 1) * width + column;
    auto value = lanes.load(d_y + from);
    if (!mask.is_off()) value *= mask.factors(lanes, from);
    lanes.store(d_x + row * width + column, value);
  }
};

/// The sum over samples of dropout'(d_y), added to the gradients of positions and class token.
template <class T>
struct PositionGradients {
  using R = RealOf<T>;
  T const* d_y;
  R* d_class_token;
  R* d_positions;
  Index batch, tokens, width;
  DropoutMask<R> mask;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index token, Index column) const {
    typename Lanes::Value sum(R(0));
    for (Index sample = 0; sample < batch; ++sample) {
      Index const at = (sample * tokens + token) * width + column;
      auto value = lanes.load(d_y + at);
      if (!mask.is_off()) value *= mask.factors(lanes, at);
      sum += value;
    }
    R* const position = d_positions + token * width + column;
    lanes.store(position, lanes.load(position) + sum);
    if (token == 0) lanes.store(d_class_token + column, lanes.load(d_class_token + column) + sum);
  }
};

}  // namespace detail

/// x (B, N, width) -> y (B, N + 1, width). Parameters cls_token (1, 1, width) and pos_embed (1, N + 1, width).
class ClassTokenAndPositions {
 public:
  struct Config {
    Index tokens = 0;  ///< N
    Index width = 0;
    double dropout = 0;
    Initializer initial_class_token = normal(1e-6);
    Initializer initial_positions = truncated_normal(0.02);
  };

  template <class R>
  struct Tape {
    DropoutMask<R> mask;
  };

  ClassTokenAndPositions(Builder const& builder, Config const& config)
      : config_(config),
        class_token_(builder.add<3>("cls_token", {1, 1, config.width}, config.initial_class_token, {.decays = false})),
        positions_(builder.add<3>("pos_embed", {1, config.tokens + 1, config.width}, config.initial_positions,
                                  {.decays = false})),
        dropout_(builder / "pos_drop", config.dropout) {}

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    ConstTensorOf<Ctx, 3> const input = x;
    ATTN_CHECK(input.extent(1) == config_.tokens && input.extent(2) == config_.width && input.is_contiguous(),
               "ClassTokenAndPositions::forward: give a contiguous (B, ", config_.tokens, ", ", config_.width,
               ") tensor, got (", input.extent(0), ", ", input.extent(1), ", ", input.extent(2), ")");
    Index const batch = input.extent(0), tokens = config_.tokens + 1;
    auto const y = ctx.tensor(batch, tokens, config_.width);
    auto const mask = dropout_.mask(ctx);
    elementwise<T>(
        ctx.exec, "attn::ClassTokenAndPositions", batch * tokens, config_.width,
        detail::AddPositions<T>{input.data(), ctx.parameters.value(class_token_).data(),
                                ctx.parameters.value(positions_).data(), y.data(), tokens, config_.width, mask});
    return Forward<TensorOf<Ctx, 3>, Tape<typename Ctx::Real>>{y, {mask}};
  }

  template <class Ctx, class R>
  TensorOf<Ctx, 3> backward(Ctx& ctx, Tape<R>&& tape, ConstTensorOf<Ctx, 3> d_y) const {
    using T = typename Ctx::Scalar;
    Index const batch = d_y.extent(0), tokens = config_.tokens + 1, width = config_.width;
    ATTN_CHECK(d_y.extent(1) == tokens && d_y.extent(2) == width && d_y.is_contiguous(),
               "ClassTokenAndPositions::backward: give d_y the shape of y");
    auto const d_x = ctx.tensor(batch, config_.tokens, width);
    elementwise<T>(ctx.exec, "attn::ClassTokenAndPositions::backward", batch * config_.tokens, width,
                   detail::PositionsBackward<T>{d_y.data(), d_x.data(), tokens, width, tape.mask});
    elementwise<T>(
        ctx.exec, "attn::ClassTokenAndPositions::gradients", tokens, width,
        detail::PositionGradients<T>{d_y.data(), ctx.parameters.gradient(class_token_).data(),
                                     ctx.parameters.gradient(positions_).data(), batch, tokens, width, tape.mask});
    return d_x;
  }

 private:
  Config config_;
  Parameter<3> class_token_;
  Parameter<3> positions_;
  Dropout dropout_;
};

}  // namespace attn::nn
