/// ClassTokenAndPositions: learned tokens in front of a sequence, and a learned vector added at each position.
#pragma once

#include "attn/linalg/reduce.hpp"
#include "attn/nn/dropout.hpp"
#include "attn/nn/module.hpp"

namespace attn::nn {

namespace detail {

/// The tokens of a sequence: first those that are learned, then those of the input.
template <class R>
struct TokenLayout {
  Index prefix, patches, width;
  bool embeds_prefix;  // whether the learned tokens have positions
  R* learned[2];       // (width) each
  R* positions;

  ATTN_FUNCTION Index tokens() const { return prefix + patches; }
  /// The position of a token; null without.
  ATTN_FUNCTION R* position(Index token) const {
    if (embeds_prefix) return positions + token * width;
    return token < prefix ? nullptr : positions + (token - prefix) * width;
  }
};

/// y_t = learned token t, or x_(t - prefix); plus position t, then dropout. Rows are (sample, token).
template <class T>
struct AddPositions {
  using R = RealOf<T>;
  TokenLayout<R const> layout;
  T const* x;
  T* y;
  DropoutMask<R> mask;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const sample = row / layout.tokens(), token = row % layout.tokens(), at = row * layout.width + column;
    auto value = token < layout.prefix ? lanes.load(layout.learned[token] + column)
                                       : lanes.load(x + (row - (sample + 1) * layout.prefix) * layout.width + column);
    R const* const position = layout.position(token);
    if (position != nullptr) value += lanes.load(position + column);
    if (!mask.is_off()) value *= mask.factors(lanes, at);
    lanes.store(y + at, value);
  }
};

/// d_x_(t - prefix) = dropout'(d_y_t).
template <class T>
struct PositionsBackward {
  T const* d_y;
  T* d_x;
  Index prefix, patches, width;
  DropoutMask<RealOf<T>> mask;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const from = (row + (row / patches + 1) * prefix) * width + column;
    auto value = lanes.load(d_y + from);
    if (!mask.is_off()) value *= mask.factors(lanes, from);
    lanes.store(d_x + row * width + column, value);
  }
};

/// The sum over samples of dropout'(d_y), added to the gradients of positions and learned tokens.
template <class T>
struct PositionGradients {
  using R = RealOf<T>;
  TokenLayout<R> gradients;
  T const* d_y;
  Index batch;
  DropoutMask<R> mask;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index token, Index column) const {
    typename Lanes::Value sum(R(0));
    for (Index sample = 0; sample < batch; ++sample) {
      Index const at = (sample * gradients.tokens() + token) * gradients.width + column;
      auto value = lanes.load(d_y + at);
      if (!mask.is_off()) value *= mask.factors(lanes, at);
      sum += value;
    }
    R* const position = gradients.position(token);
    if (position != nullptr) lanes.store(position + column, lanes.load(position + column) + sum);
    if (token >= gradients.prefix) return;
    R* const learned = gradients.learned[token] + column;
    lanes.store(learned, lanes.load(learned) + sum);
  }
};

}  // namespace detail

/// x (B, N, width) -> y (B, prefix + N, width). Without learned tokens (`prefix` 0) positions alone are added.
/// Parameters cls_token (1, 1, width), of two learned tokens also dist_token (Touvron et al. 2021, DeiT), and pos_embed
/// (1, prefix + N, width), or (1, N, width) where the learned tokens have no positions.
class ClassTokenAndPositions {
 public:
  struct Config {
    Index tokens = 0;  ///< N
    Index width = 0;
    double dropout = 0;
    Index prefix = 1;           ///< learned tokens: 0, 1, or 2 with one for distillation
    bool embeds_prefix = true;  ///< whether positions are added to them (timm's no_embed_class is the opposite)
    Initializer initial_class_token = normal(1e-6);
    Initializer initial_positions = truncated_normal(0.02);  ///< also of the token for distillation
  };

  template <class R>
  struct Tape {
    DropoutMask<R> mask;
  };

  ClassTokenAndPositions(Builder const& builder, Config const& config)
      : config_(checked(config)),
        class_token_(config.prefix == 0 ? Parameter<3>()
                                        : builder.add<3>("cls_token", {1, 1, config.width}, config.initial_class_token,
                                                         {.decays = false})),
        positions_(builder.add<3>("pos_embed",
                                  {1, config.tokens + (config.embeds_prefix ? config.prefix : 0), config.width},
                                  config.initial_positions, {.decays = false})),
        dropout_(builder / "pos_drop", config.dropout) {
    if (config.prefix == 2) {
      distillation_token_ =
          builder.add<3>("dist_token", {1, 1, config.width}, config.initial_positions, {.decays = false});
    }
  }

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    ConstTensorOf<Ctx, 3> const input = x;
    ATTN_CHECK(input.extent(1) == config_.tokens && input.extent(2) == config_.width && input.is_contiguous(),
               "ClassTokenAndPositions::forward: give a contiguous (B, ", config_.tokens, ", ", config_.width,
               ") tensor, got (", input.extent(0), ", ", input.extent(1), ", ", input.extent(2), ")");
    auto const y = ctx.tensor(input.extent(0), tokens(), config_.width);
    auto const mask = dropout_.mask(ctx);
    auto const layout =
        this->layout<typename Ctx::Real const>([&](Parameter<3> const& p) { return ctx.parameters.value(p).data(); });
    elementwise<T>(ctx.exec, "attn::ClassTokenAndPositions", input.extent(0) * tokens(), config_.width,
                   detail::AddPositions<T>{layout, input.data(), y.data(), mask});
    return Forward<TensorOf<Ctx, 3>, Tape<typename Ctx::Real>>{y, {mask}};
  }

  template <class Ctx, class R>
  TensorOf<Ctx, 3> backward(Ctx& ctx, Tape<R>&& tape, ConstTensorOf<Ctx, 3> d_y) const {
    using T = typename Ctx::Scalar;
    Index const batch = d_y.extent(0), width = config_.width;
    ATTN_CHECK(d_y.extent(1) == tokens() && d_y.extent(2) == width && d_y.is_contiguous(),
               "ClassTokenAndPositions::backward: give d_y the shape of y");
    auto const d_x = ctx.tensor(batch, config_.tokens, width);
    elementwise<T>(
        ctx.exec, "attn::ClassTokenAndPositions::backward", batch * config_.tokens, width,
        detail::PositionsBackward<T>{d_y.data(), d_x.data(), config_.prefix, config_.tokens, width, tape.mask});
    auto const gradients = layout<R>([&](Parameter<3> const& p) { return ctx.parameters.gradient(p).data(); });
    elementwise<T>(ctx.exec, "attn::ClassTokenAndPositions::gradients", tokens(), width,
                   detail::PositionGradients<T>{gradients, d_y.data(), batch, tape.mask});
    return d_x;
  }

  /// Of y.
  Index tokens() const { return config_.prefix + config_.tokens; }

 private:
  static Config const& checked(Config const& c) {
    ATTN_CHECK(c.prefix >= 0 && c.prefix <= 2, "ClassTokenAndPositions: give none, one or two learned tokens, got ",
               c.prefix);
    return c;
  }

  /// With what `of` gives for a parameter: its values or its gradients.
  template <class R, class Of>
  detail::TokenLayout<R> layout(Of const& of) const {
    return {config_.prefix,
            config_.tokens,
            config_.width,
            config_.embeds_prefix,
            {config_.prefix > 0 ? of(class_token_) : nullptr, config_.prefix == 2 ? of(distillation_token_) : nullptr},
            of(positions_)};
  }

  Config config_;
  Parameter<3> class_token_;
  Parameter<3> positions_;
  Parameter<3> distillation_token_;
  Dropout dropout_;
};

}  // namespace attn::nn
