/// Pooling: from a sequence of tokens to one vector.
#pragma once

#include "attn/core/elementwise.hpp"
#include "attn/nn/module.hpp"

namespace attn::nn {

/// What stands for a sequence whose first token is the class token: that token, or the mean of all others (timm's
/// global_pool 'token' and 'avg').
enum class Pooled { class_token, mean };

namespace detail {

/// y_b = mean of the tokens first <= t < last.
template <class T>
struct PoolTokens {
  T const* x;
  T* y;
  Index tokens, width, first, last;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index sample, Index column) const {
    using Value = typename Lanes::Value;
    Value sum = lanes.load(x + (sample * tokens + first) * width + column);
    for (Index t = first + 1; t < last; ++t) sum += lanes.load(x + (sample * tokens + t) * width + column);
    lanes.store(y + sample * width + column, sum * Value(RealOf<T>(1) / RealOf<T>(last - first)));
  }
};

/// d_x_t = d_y / (last - first) for first <= t < last, else 0. Rows are (sample, token).
template <class T>
struct UnpoolTokens {
  T const* d_y;
  T* d_x;
  Index tokens, width, first, last;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const token = row % tokens;
    bool const counts = first <= token && token < last;
    Value const d = counts ? lanes.load(d_y + row / tokens * width + column) : Value(RealOf<T>(0));
    lanes.store(d_x + row * width + column, d * Value(RealOf<T>(1) / RealOf<T>(last - first)));
  }
};

}  // namespace detail

/// x (B, N, C) -> y (B, C).
class Pooling {
 public:
  struct Tape {
    Extents<3> extents{};
  };

  explicit Pooling(Pooled pooled) : pooled_(pooled) {}

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    ConstTensorOf<Ctx, 3> const input = x;
    auto const [batch, tokens, width] = sizes(input.extents());
    auto const [first, last] = range(tokens);
    ATTN_CHECK(last > first && input.is_contiguous(),
               "Pooling::forward: give a contiguous (B, N, C) tensor of at least ", first + 1, " tokens, got ", tokens);
    auto const y = ctx.tensor(batch, width);
    elementwise<T>(ctx.exec, "attn::Pooling", batch, width,
                   detail::PoolTokens<T>{input.data(), y.data(), tokens, width, first, last});
    return Forward<TensorOf<Ctx, 2>, Tape>{y, {input.extents()}};
  }

  template <class Ctx>
  TensorOf<Ctx, 3> backward(Ctx& ctx, Tape&& tape, ConstTensorOf<Ctx, 2> d_y) const {
    using T = typename Ctx::Scalar;
    auto const [batch, tokens, width] = sizes(tape.extents);
    auto const [first, last] = range(tokens);
    ATTN_CHECK(d_y.extent(0) == batch && d_y.extent(1) == width && d_y.is_contiguous(),
               "Pooling::backward: give d_y the shape of y");
    auto const d_x = ctx.tensor(tape.extents);
    elementwise<T>(ctx.exec, "attn::Pooling::backward", batch * tokens, width,
                   detail::UnpoolTokens<T>{d_y.data(), d_x.data(), tokens, width, first, last});
    return d_x;
  }

 private:
  struct Sizes {
    Index batch, tokens, width;
  };
  struct Range {
    Index first, last;
  };
  static Sizes sizes(Extents<3> const& e) { return {e[0], e[1], e[2]}; }
  Range range(Index tokens) const {
    return pooled_ == Pooled::class_token ? Range{0, std::min(tokens, Index(1))} : Range{1, tokens};
  }

  Pooled pooled_;
};

}  // namespace attn::nn
