/// Pooling: from a sequence of tokens to one vector.
#pragma once

#include "attn/core/elementwise.hpp"
#include "attn/nn/module.hpp"

namespace attn::nn {

/// What stands for a sequence that begins with learned tokens: these, or the mean of all others (timm's global_pool
/// 'token' and 'avg').
enum class Pooled { class_token, mean };

namespace detail {

/// Where the tokens of a sample end: at `last`, or before at its length.
ATTN_FUNCTION Index end_of(int const* lengths, Index sample, Index last) {
  return lengths == nullptr || last < lengths[sample] ? last : Index(lengths[sample]);
}

/// y_(b, p) = mean of the tokens first + p <= t < last + p of sample b; of sequences with lengths, which have one p, of
/// those that are no padding, or 0 if all are. Rows are (sample, p).
template <class T>
struct PoolTokens {
  T const* x;
  T* y;
  Index tokens, width, first, last;
  Index pooled = 1;              // rows of a sample
  int const* lengths = nullptr;  // (samples)
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const end = end_of(lengths, row, last);
    if (end <= first) return lanes.store(y + row * width + column, Value(RealOf<T>(0)));
    T const* const from = x + (row / pooled * tokens + row % pooled) * width + column;
    Value sum = lanes.load(from + first * width);
    for (Index t = first + 1; t < end; ++t) sum += lanes.load(from + t * width);
    lanes.store(y + row * width + column, sum * Value(RealOf<T>(1) / RealOf<T>(end - first)));
  }
};

/// forward: y_(b, p) = mean of the tokens first + p <= t < last + p; hence d_x_t = d_y_(b, p) / (last - first) there,
/// else 0; of several p, last is first + 1; lengths end it earlier. Rows are (sample, token).
template <class T>
struct UnpoolTokens {
  T const* d_y;
  T* d_x;
  Index tokens, width, first, last;
  Index pooled = 1;
  int const* lengths = nullptr;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const token = row % tokens, p = pooled == 1 ? 0 : token - first;
    Index const end = end_of(lengths, row / tokens, last);
    bool const counts = first <= token && (pooled == 1 ? token < end : p < pooled);
    Value const d = counts ? lanes.load(d_y + (row / tokens * pooled + p) * width + column) : Value(RealOf<T>(0));
    lanes.store(d_x + row * width + column, d * Value(RealOf<T>(1) / RealOf<T>(end > first ? end - first : 1)));
  }
};

}  // namespace detail

/// x (B, N, C) -> y (B, C); the class tokens of sequences that begin with several, (B prefix, C), one after the other.
/// The mean is that of all tokens behind those learned, `Pooling(Pooled::mean, 0)` of all there are; of padded
/// sequences whose lengths come with the call (`WithSequences`), of those that are no padding.
class Pooling {
 public:
  struct Tape {
    Extents<3> extents{};
    int const* lengths = nullptr;
  };

  /// Of sequences that begin with `prefix` learned tokens.
  explicit Pooling(Pooled pooled, Index prefix = 1) : pooled_(pooled), prefix_(prefix) {}

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    ConstTensorOf<Ctx, 3> const input = x;
    auto const [batch, tokens, width] = sizes(input.extents());
    Index const least = pooled_ == Pooled::mean ? prefix_ + 1 : prefix_;
    ATTN_CHECK(tokens >= least && input.is_contiguous(),
               "Pooling::forward: give a contiguous (B, N, C) tensor of at least ", least, " tokens, got ", tokens);
    auto const [first, last] = range(tokens);
    auto const& lengths = ctx.sequences.lengths;
    ATTN_CHECK(lengths.data() == nullptr || lengths.extent(0) == batch, "Pooling::forward: give ", batch,
               " lengths, one for each sequence, got ", lengths.extent(0));
    int const* const ends = pooled_ == Pooled::mean ? lengths.data() : nullptr;
    auto const y = ctx.tensor(batch * per_sample(), width);
    elementwise<T>(ctx.exec, "attn::Pooling", y.extent(0), width,
                   detail::PoolTokens<T>{input.data(), y.data(), tokens, width, first, last, per_sample(), ends});
    return Forward<TensorOf<Ctx, 2>, Tape>{y, {input.extents(), ends}};
  }

  template <class Ctx>
  TensorOf<Ctx, 3> backward(Ctx& ctx, Tape&& tape, ConstTensorOf<Ctx, 2> d_y) const {
    using T = typename Ctx::Scalar;
    auto const [batch, tokens, width] = sizes(tape.extents);
    auto const [first, last] = range(tokens);
    ATTN_CHECK(d_y.extent(0) == batch * per_sample() && d_y.extent(1) == width && d_y.is_contiguous(),
               "Pooling::backward: give d_y the shape of y");
    auto const d_x = ctx.tensor(tape.extents);
    elementwise<T>(
        ctx.exec, "attn::Pooling::backward", batch * tokens, width,
        detail::UnpoolTokens<T>{d_y.data(), d_x.data(), tokens, width, first, last, per_sample(), tape.lengths});
    return d_x;
  }

  /// Rows of y for one sample.
  Index per_sample() const { return pooled_ == Pooled::mean ? 1 : prefix_; }

 private:
  struct Sizes {
    Index batch, tokens, width;
  };
  struct Range {
    Index first, last;
  };
  static Sizes sizes(Extents<3> const& e) { return {e[0], e[1], e[2]}; }
  Range range(Index tokens) const { return pooled_ == Pooled::mean ? Range{prefix_, tokens} : Range{0, 1}; }

  Pooled pooled_;
  Index prefix_;
};

}  // namespace attn::nn
