/// Functions of one number that stand between layers: GELU, ReLU, tanh, ...
#pragma once

#include "attn/core/elementwise.hpp"
#include "attn/core/jet.hpp"
#include "attn/nn/module.hpp"

namespace attn::nn {

/// A function is a value with a template `operator()` over the scalar. Its derivative is its member `slope(x)`, or
/// `value_and_slope(x)` where both share work, or else one evaluation on a jet.
template <class F, class T>
concept Function = std::copyable<F> && requires(F const f, T x) {
  { f(x) } -> std::same_as<T>;
};

/// A value of a function and its derivative there.
template <class T>
struct ValueAndSlope {
  T value;
  T slope;
};

/// f(x) and f'(x): by the member of that name where f has one, else on a jet.
template <class T, Function<T> F>
ATTN_FUNCTION ValueAndSlope<T> value_and_slope(F const& f, T x) {
  if constexpr (requires { f.value_and_slope(x); }) {
    return f.value_and_slope(x);
  } else if constexpr (requires { f.slope(x); }) {
    return {f(x), f.slope(x)};
  } else {
    static_assert(Function<F, Jet<T, 1>>,
                  "function: write operator() as a template over the scalar, so that it also takes a jet, or add a "
                  "member slope(x)");
    auto const y = f(Jet<T, 1>::variable(x));
    return {y.coefficients[0], y.coefficients[1]};
  }
}

/// x Phi(x) with the normal distribution function Phi: the exact GELU, not its tanh approximation (Hendrycks and Gimpel
/// 2016).
struct Gelu {
  template <class T>
  ATTN_FUNCTION T operator()(T x) const {
    return value_and_slope(x).value;
  }

  /// d(x Phi) / dx = Phi + x phi, phi(x) = e^(-x^2 / 2) / sqrt(2 pi)
  template <class T>
  ATTN_FUNCTION ValueAndSlope<T> value_and_slope(T x) const {
    using R = RealOf<T>;
    T const density = T(R(0.3989422804014327)) * attn::exp(T(R(-0.5)) * x * x);
    T const below = T(R(0.5)) + T(R(0.5)) * attn::erf(x * T(R(0.7071067811865476)));
    return {x * below, below + x * density};
  }

  /// In single precision Phi shares its exponential with phi, absolute error below 1e-7: with a = |x| / sqrt 2,
  /// Phi(-|x|) = e^(-a^2) t (a1 + a2 t + ... + a5 t^4) / 2, t = 1 / (1 + p a): Abramowitz and Stegun 7.1.26.
  template <int W>
  ValueAndSlope<Pack<float, W>> value_and_slope(Pack<float, W> x) const {
    using P = Pack<float, W>;
    P const bell = attn::exp_nonpositive(P(-0.5f) * x * x);
    P const t = P(1.0f) / (P(1.0f) + P(0.3275911f * 0.70710678f) * attn::abs(x));
    P tail = P(0.5f * 1.061405429f) * t + P(0.5f * -1.453152027f);
    tail = tail * t + P(0.5f * 1.421413741f);
    tail = tail * t + P(0.5f * -0.284496736f);
    tail = tail * t + P(0.5f * 0.254829592f);
    tail = tail * t * bell;
    P const below = x.lanes < 0.0f ? tail.lanes : (P(1.0f) - tail).lanes;
    return {x * below, below + x * bell * P(0.39894228f)};
  }
};

/// max(x, 0); slope 0 at the corner.
struct Relu {
  template <class T>
  ATTN_FUNCTION T operator()(T x) const {
    return attn::max(x, T(0));
  }
};

/// Hyperbolic tangent.
struct Tanh {
  template <class T>
  ATTN_FUNCTION T operator()(T x) const {
    return attn::tanh(x);
  }
  template <class T>
  ATTN_FUNCTION ValueAndSlope<T> value_and_slope(T x) const {
    T const y = attn::tanh(x);
    return {y, T(1) - y * y};
  }
};

/// x / (1 + e^(-x)) (Elfwing et al. 2018).
struct Silu {
  template <class T>
  ATTN_FUNCTION T operator()(T x) const {
    return x / (T(1) + attn::exp(-x));
  }
};

namespace detail {

/// y = f(x), and the slope where it is wanted.
template <class T, class F>
struct ApplyFunction {
  F f;
  Pointer<T const> x;
  Pointer<T> y, slope;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index, Index i) const {
    if (slope != nullptr) {
      auto const result = nn::value_and_slope(f, lanes.load(x + i));
      lanes.store(y + i, result.value);
      lanes.store(slope + i, result.slope);
    } else {
      lanes.store(y + i, f(lanes.load(x + i)));
    }
  }
};

/// c = a b, element by element.
template <class T>
struct Multiply {
  Pointer<T const> a, b;
  Pointer<T> c;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index, Index i) const {
    lanes.store(c + i, lanes.load(a + i) * lanes.load(b + i));
  }
};

}  // namespace detail

/// A function as a module: y = f(x) for each element of a contiguous tensor. Keeps the slopes.
template <class F>
class Pointwise {
 public:
  template <class S>
  struct Tape {
    S slope;
  };

  Pointwise() = default;
  explicit Pointwise(F const& f) : f_(f) {}

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    using Y = detail::Like<Ctx, X>;
    ATTN_CHECK(x.is_contiguous(), "Pointwise::forward: copy x into a contiguous tensor first");
    Y const y = ctx.tensor(x.extents());
    Tape<Y> const tape{ctx.keeps_tape() ? Y(ctx.tensor(x.extents())) : Y()};
    elementwise<T>(ctx.exec, "attn::Pointwise", 1, x.size(),
                   detail::ApplyFunction<T, F>{f_, x.data(), y.data(), tape.slope.data()});
    return Forward<Y, Tape<Y>>{y, tape};
  }

  template <class Ctx, class S, class D>
  auto backward(Ctx& ctx, Tape<S>&& tape, D const& d_y) const {
    using T = typename Ctx::Scalar;
    detail::check_tape("Pointwise::backward", tape.slope);
    ATTN_CHECK(d_y.extents() == tape.slope.extents() && d_y.is_contiguous(),
               "Pointwise::backward: give d_y the shape of y");
    auto const d_x = ctx.tensor(d_y.extents());
    elementwise<T>(ctx.exec, "attn::Pointwise::backward", 1, d_y.size(),
                   detail::Multiply<T>{d_y.data(), tape.slope.data(), d_x.data()});
    return d_x;
  }

 private:
  F f_ = {};
};

}  // namespace attn::nn
