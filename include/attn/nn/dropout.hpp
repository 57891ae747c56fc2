/// Dropout and stochastic depth: noise of training, drawn by (seed, step, site, index), so nothing is stored.
#pragma once

#include "attn/attention/dropout.hpp"
#include "attn/core/elementwise.hpp"
#include "attn/nn/module.hpp"

namespace attn::nn {

/// Which elements a dropout keeps in one step, as a function of their index. `keep = 1` keeps all.
template <Real R>
struct DropoutMask {
  RandomKey key = {};
  R keep = 1;
  std::uint64_t const* step = nullptr;  ///< where the number of the step lies, if `key` is not yet that of a step

  /// 1 / keep with probability `keep`, else 0.
  ATTN_FUNCTION R operator()(std::uint64_t index) const { return factor(key_of_step(), index); }
  /// The factors of the elements from `index` on, in lanes.
  template <class Lanes>
  ATTN_FUNCTION auto factors(Lanes lanes, Index index) const {
    RandomKey const now = key_of_step();
    return lanes.generate([&](int lane) { return factor(now, std::uint64_t(index + lane)); });
  }
  ATTN_FUNCTION bool is_off() const { return keep >= R(1); }

 private:
  ATTN_FUNCTION RandomKey key_of_step() const { return step == nullptr ? key : subkey(key, *step); }
  ATTN_FUNCTION R factor(RandomKey now, std::uint64_t index) const {
    return attn::uniform<R>(now, index) < keep ? R(1) / keep : R(0);
  }
};

namespace detail {

/// What a site keeps in this step of `ctx`.
template <class Ctx>
DropoutMask<typename Ctx::Real> mask_of_step(Ctx const& ctx, std::uint64_t site, double rate) {
  RandomKey const key = subkey(ctx.random, site);
  bool const counts = ctx.step_there != nullptr;
  return {counts ? key : subkey(key, ctx.step), typename Ctx::Real(1 - rate), ctx.step_there};
}

inline void check_rate(char const* module, double rate) {
  ATTN_CHECK(rate >= 0 && rate < 1, module, ": give a rate from 0 to less than 1, got ", rate);
}

template <class T>
struct ApplyMask {
  DropoutMask<RealOf<T>> mask;
  T const* x;
  T* y;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index, Index i) const {
    lanes.store(y + i, lanes.load(x + i) * mask.factors(lanes, i));
  }
};

template <Real R>
struct DrawSamples {
  DropoutMask<R> mask;
  R* factor;
  ATTN_FUNCTION void operator()(Index sample) const { factor[sample] = mask(std::uint64_t(sample)); }
};

}  // namespace detail

/// Each element becomes 0 with probability `rate`, and is divided by 1 - rate otherwise; in evaluation nothing happens
/// (Srivastava et al. 2014).
class Dropout {
 public:
  template <class Y>
  struct Tape {
    DropoutMask<RealOf<typename Y::Scalar>> mask;
  };

  Dropout() = default;
  Dropout(Builder const& builder, double rate) : rate_(rate), site_(builder.site()) {
    detail::check_rate("Dropout", rate);
  }

  /// What this step keeps; fused kernels apply it themselves.
  template <class Ctx>
  DropoutMask<typename Ctx::Real> mask(Ctx const& ctx) const {
    if (!ctx.training || rate_ == 0) return {};
    return detail::mask_of_step(ctx, site_, rate_);
  }

  /// What this step keeps of attention's weights.
  template <class Ctx>
  AttentionDropout of_weights(Ctx const& ctx) const {
    auto const now = mask(ctx);
    if (now.is_off()) return {};
    return {.rate = rate_, .key = now.key, .step = now.step};
  }

  /// x (...), contiguous. Without dropout, y is x itself.
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    using Y = detail::ConstLike<Ctx, X>;
    Tape<Y> const tape{mask(ctx)};
    return Forward<Y, Tape<Y>>{apply(ctx, x, tape.mask), tape};
  }

  template <class Ctx, class Y, class D>
  auto backward(Ctx& ctx, Tape<Y>&& tape, D const& d_y) const {
    return apply(ctx, d_y, tape.mask);
  }

 private:
  template <class Ctx, class X>
  static detail::ConstLike<Ctx, X> apply(Ctx& ctx, X const& x, DropoutMask<typename Ctx::Real> const& mask) {
    using T = typename Ctx::Scalar;
    if (mask.is_off()) return x;
    ATTN_CHECK(x.is_contiguous(), "Dropout: copy x into a contiguous tensor first");
    auto const y = ctx.tensor(x.extents());
    elementwise<T>(ctx.exec, "attn::Dropout", 1, x.size(), detail::ApplyMask<T>{mask, x.data(), y.data()});
    return y;
  }

  double rate_ = 0;
  std::uint64_t site_ = 0;
};

/// Stochastic depth: a residual branch is left out for a whole sample with probability `rate`, and divided by 1 - rate
/// otherwise (Huang et al. 2016; timm's DropPath).
class StochasticDepth {
 public:
  StochasticDepth() = default;
  StochasticDepth(Builder const& builder, double rate) : rate_(rate), site_(builder.site()) {
    detail::check_rate("StochasticDepth", rate);
  }

  /// The factor of each sample in this step: (samples), or no data where all are 1.
  template <class Ctx>
  Tensor<typename Ctx::Real const, 1, typename Ctx::MemorySpace> factors(Ctx& ctx, Index samples) const {
    using R = typename Ctx::Real;
    if (!ctx.training || rate_ == 0) return {};
    auto const factor = ctx.template tensor<R>(samples);
    auto const mask = detail::mask_of_step(ctx, site_, rate_);
    attn::launch("attn::StochasticDepth",
                 Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, samples),
                 detail::DrawSamples<R>{mask, factor.data()});
    return factor;
  }

 private:
  double rate_ = 0;
  std::uint64_t site_ = 0;
};

}  // namespace attn::nn
