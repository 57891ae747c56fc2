/// Mlp: two linear layers with a function between them.
#pragma once

#include "attn/nn/detail/heads.hpp"
#include "attn/nn/function.hpp"
#include "attn/nn/linear.hpp"

namespace attn::nn {

namespace detail {

/// y = dropout(f(y + b)) in place, and the slope of that where it is wanted.
template <class T, class F>
struct Hidden {
  F f;
  T* y;
  T* slope;
  RealOf<T> const* bias;
  DropoutMask<RealOf<T>> mask;
  Index stride;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const at = row * stride + column;
    auto x = lanes.load(y + at);
    if (bias != nullptr) x += lanes.load(bias + column);
    if (slope == nullptr) {
      lanes.store(y + at, f(x));
      return;
    }
    auto result = value_and_slope(f, x);
    if (!mask.is_off()) {
      auto const factors = mask.factors(lanes, at);
      result.value *= factors;
      result.slope *= factors;
    }
    lanes.store(y + at, result.value);
    lanes.store(slope + at, result.slope);
  }
};

/// y *= slope, in place.
template <class T>
struct TimesSlope {
  T* y;
  T const* slope;
  Index stride;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const at = row * stride + column;
    lanes.store(y + at, lanes.load(y + at) * lanes.load(slope + at));
  }
};

}  // namespace detail

/// y = fc2(f(fc1(x))). Parameters fc1.weight (hidden, width), fc1.bias, fc2.weight (width, hidden), fc2.bias. The
/// function and its slope are computed while the product is in the cache; the slope is what the tape keeps.
template <class F>
class Mlp {
 public:
  struct Config {
    Index width = 0;
    Index hidden = 0;
    double dropout = 0;  ///< after the function and after the second layer
    F function = {};
    Initializer initial = truncated_normal(0.02);
  };

  template <class Ctx>
  struct Tape {
    ConstTensorOf<Ctx, 3> x;  // (B, N, width)
    TensorOf<Ctx, 3> hidden;  // (B, N, hidden)
    TensorOf<Ctx, 3> slope;   // (B, N, hidden)
    Linear::Ending<Ctx> ending;
  };

  Mlp(Builder const& builder, Config const& config)
      : function_(config.function),
        fc1_(builder / "fc1", {.inputs = config.width, .outputs = config.hidden, .initial = config.initial}),
        fc2_(builder / "fc2", {.inputs = config.hidden, .outputs = config.width, .initial = config.initial}),
        drop1_(builder / "drop1", config.dropout),
        drop2_(builder / "drop2", config.dropout) {}

  /// Of parts under other names.
  Mlp(F const& function, Linear const& fc1, Dropout const& drop1, Linear const& fc2, Dropout const& drop2)
      : function_(function), fc1_(fc1), fc2_(fc2), drop1_(drop1), drop2_(drop2) {}

  /// x (B, N, width), or a feature map (B, H, W, width), -> y of the same shape. 4 B N width hidden flops.
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    return forward(ctx, x, Onto<Ctx>{});
  }

  /// y = onto.source + onto.factors mlp(x).
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x, Onto<Ctx> const& onto) const {
    using T = typename Ctx::Scalar;
    ATTN_CHECK(x.extent(X::rank - 1) == fc1_.inputs() && x.is_contiguous(), "Mlp::forward: give a contiguous (B, N, ",
               fc1_.inputs(), ") tensor, got ", detail::shape_text(x));
    detail::Like<Ctx, X> const y = ctx.tensor(with_width(x.extents(), fc2_.outputs()));
    ConstTensorOf<Ctx, 3> const input = detail::as_tokens(x);
    typename Ctx::Scratch const scratch(ctx);
    Tape<Ctx> tape{input, ctx.tensor(with_width(input.extents(), fc1_.outputs())), {}, {}};
    if (ctx.keeps_tape()) tape.slope = ctx.tensor(tape.hidden.extents());
    fc1_.multiply(ctx, input.rows(), tape.hidden.rows(),
                  detail::Hidden<T, F>{function_, tape.hidden.data(), tape.slope.data(), fc1_.bias(ctx),
                                       drop1_.mask(ctx), fc1_.outputs()});
    tape.ending = fc2_.finish(ctx, ConstTensorOf<Ctx, 3>(tape.hidden), detail::as_tokens(y), drop2_, onto);
    if (!ctx.keeps_tape()) tape = {};
    return Forward<detail::Like<Ctx, X>, Tape<Ctx>>{y, tape};
  }

  template <class Ctx, class D>
  auto backward(Ctx& ctx, Tape<Ctx>&& tape, D const& d) const {
    using T = typename Ctx::Scalar;
    detail::check_tape("Mlp::backward", tape.slope);
    ConstTensorOf<Ctx, 3> const d_y = detail::as_tokens(d);
    ATTN_CHECK(d_y.extents() == with_width(tape.x.extents(), fc2_.outputs()), "Mlp::backward: give d_y the shape of y");
    detail::Like<Ctx, D> const d_x = ctx.tensor(with_width(d.extents(), fc1_.inputs()));
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const d_end = fc2_.unfinish(ctx, tape.ending, d_y);
    fc2_.add_gradients(ctx, tape.hidden.rows(), d_end.rows());
    auto const d_hidden = ctx.tensor(tape.hidden.extents());
    fc2_.pull_back(ctx, d_end.rows(), d_hidden.rows(),
                   detail::TimesSlope<T>{d_hidden.data(), tape.slope.data(), fc1_.outputs()});
    fc1_.add_gradients(ctx, tape.x.rows(), d_hidden.rows());
    fc1_.pull_back(ctx, d_hidden.rows(), d_x.rows());
    return d_x;
  }

 private:
  F function_;
  Linear fc1_;
  Linear fc2_;
  Dropout drop1_;
  Dropout drop2_;
};

}  // namespace attn::nn
