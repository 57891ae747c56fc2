/// ClassToken: a learned token in front of a sequence, and sequences whose first token goes its own way.
#pragma once

#include "attn/nn/module.hpp"

namespace attn::nn {

namespace detail {

/// to_0 = first + also, to_t = factor rest_t, and what is there where `adds`. Rows are (sample, token).
template <class T, class F = T>
struct JoinTokens {
  F const* first;  // (B, C), its rows `first_stride` apart
  T const* also;   // (B, C), or null
  T const* rest;   // (B, rest_tokens, C): the last ones of each sample
  T* to;           // (B, tokens, C)
  Index tokens, rest_tokens, width, first_stride;
  RealOf<T> factor = 1;
  bool adds = false;

  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const sample = row / tokens, token = row % tokens, at = row * width + column;
    Value value(RealOf<Value>(0));
    if (token == 0) {
      value = lanes.load(first + sample * first_stride + column);
      if (also != nullptr) value += lanes.load(also + sample * width + column);
    } else {
      Index const from = sample * rest_tokens + rest_tokens - tokens + token;
      value = Value(factor) * lanes.load(rest + from * width + column);
    }
    if (adds) value += lanes.load(to + at);
    lanes.store(to + at, value);
  }
};

/// to = some tokens of each sequence: `count` from number `begin` on. Rows are those of `to`.
template <class T>
struct TakeTokens {
  T const* from;  // (B, tokens, C)
  T* to;          // (B, count, C)
  Index tokens, begin, count, width;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const source = row / count * tokens + begin + row % count;
    lanes.store(to + row * width + column, lanes.load(from + source * width + column));
  }
};

/// The sum over samples of the first token, added to the gradient of the class token.
template <class T>
struct ClassTokenGradient {
  T const* d_y;
  RealOf<T>* d_token;
  Index batch, tokens, width;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index, Index column) const {
    auto sum = lanes.load(d_token + column);
    for (Index sample = 0; sample < batch; ++sample) sum += lanes.load(d_y + sample * tokens * width + column);
    lanes.store(d_token + column, sum);
  }
};

/// Tokens `begin` ... `begin` + `count` - 1 of each sequence of x (B, N, C), as a tensor of their own.
template <class Ctx>
TensorOf<Ctx, 3> take_tokens(Ctx& ctx, ConstTensorOf<Ctx, 3> x, Index begin, Index count) {
  using T = typename Ctx::Scalar;
  auto const to = ctx.tensor(x.extent(0), count, x.extent(2));
  elementwise<T>(ctx.exec, "attn::take_tokens", x.extent(0) * count, x.extent(2),
                 TakeTokens<T>{x.data(), to.data(), x.extent(1), begin, count, x.extent(2)});
  return to;
}

}  // namespace detail

/// x (B, N, C) -> y (B, N + 1, C). Parameter cls_token (1, 1, C), which does not decay. Lengths of sequences
/// (`WithSequences`) are those that attention sees: behind this module they count the learned token, too.
class ClassToken {
 public:
  struct Config {
    Index width = 0;
    Initializer initial = truncated_normal(0.02);
  };
  struct Tape {};

  ClassToken(Builder const& builder, Config const& config)
      : token_(builder.add<3>("cls_token", {1, 1, config.width}, config.initial, {.decays = false})) {}

  template <class Ctx, class X>
  Forward<TensorOf<Ctx, 3>, Tape> forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    static_assert(Real<AccumulatorOf<T>>, "ClassToken: compute in a context of reals, not of jets");
    ConstTensorOf<Ctx, 3> const input = x;
    Index const batch = input.extent(0), n = input.extent(1), width = token_.shape[2];
    ATTN_CHECK(input.extent(2) == width && input.is_contiguous(), "ClassToken::forward: give a contiguous (B, N, ",
               width, ") tensor, got width ", input.extent(2));
    auto const y = ctx.tensor(batch, n + 1, width);
    elementwise<T>(ctx.exec, "attn::ClassToken", batch * (n + 1), width,
                   detail::JoinTokens<T, typename Ctx::Real>{ctx.parameters.value(token_).data(), nullptr, input.data(),
                                                             y.data(), n + 1, n, width, 0});
    return {y, {}};
  }

  /// forward: y_0 = token, y_t = x_(t - 1)
  template <class Ctx>
  TensorOf<Ctx, 3> backward(Ctx& ctx, Tape&&, ConstTensorOf<Ctx, 3> d_y) const {
    using T = typename Ctx::Scalar;
    Index const batch = d_y.extent(0), tokens = d_y.extent(1), width = token_.shape[2];
    ATTN_CHECK(tokens > 0 && d_y.extent(2) == width && d_y.is_contiguous(),
               "ClassToken::backward: give d_y the shape of y");
    elementwise<T>(
        ctx.exec, "attn::ClassToken::gradient", 1, width,
        detail::ClassTokenGradient<T>{d_y.data(), ctx.parameters.gradient(token_).data(), batch, tokens, width});
    return detail::take_tokens(ctx, d_y, 1, tokens - 1);
  }

 private:
  Parameter<3> token_;
};

}  // namespace attn::nn
