/// The elementary functions of packs: `attn::exp(Pack)` and the others, lane by lane, in vector instructions where that
/// pays. Their errors are stated beside them and measured in tests/core/test_pack.cpp.
#pragma once

#include "attn/core/pack_mistakes.hpp"
#include "attn/core/pack_type.hpp"
#include "attn/core/sincos.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace attn {

namespace detail {

/// Applies a function of one real to each lane.
template <class T, int W, class Function>
Pack<T, W> lanewise(Pack<T, W> a, Function f) {
  Pack<T, W> r;
  for (int i = 0; i < W; ++i) r.lanes[i] = f(a.lanes[i]);
  return r;
}

/// log a in fp32 for lanes that hold positive normal numbers, relative error below 2 units in the last place; in other
/// lanes any number. a = 2^n m with m in [sqrt 1/2, sqrt 2); log m from the Cephes library's polynomial in m - 1.
template <int W>
Pack<float, W> log_normal(Pack<float, W> a) {
  using Vector = typename Pack<float, W>::Vector;
  typedef std::int32_t Integers __attribute__((vector_size(W * sizeof(std::int32_t))));
  constexpr std::int32_t root_half = 0x3f3504f3;  // the bits of sqrt 1/2
  Integers const bits = (Integers)a.lanes - root_half, n = bits >> 23;
  Vector const r = (Vector)((Integers)a.lanes - (n << 23)) - 1.0f, r2 = r * r;
  Vector const exponent = __builtin_convertvector(n, Vector);
  Vector p = 7.0376836292e-2f * r - 1.1514610310e-1f;
  p = p * r + 1.1676998740e-1f;
  p = p * r - 1.2420140846e-1f;
  p = p * r + 1.4249322787e-1f;
  p = p * r - 1.6668057665e-1f;
  p = p * r + 2.0000714765e-1f;
  p = p * r - 2.4999993993e-1f;
  p = p * r + 3.3333331174e-1f;
  p = p * r * r2 + exponent * -2.12194440e-4f - 0.5f * r2;
  return r + p + exponent * 0.693359375f;
}

/// e^a in fp32 for all lanes, relative error below 2 units in the last place.
/// e^a = 2^n e^r with n = round(a / ln 2) and |r| <= ln 2 / 2; e^r from its Taylor polynomial of degree 7 in nested
/// form, 2^n from the exponent bits. Results below the normal range become 0 and those above it infinity.
template <int W>
Pack<float, W> exp(Pack<float, W> a) {
  using Vector = typename Pack<float, W>::Vector;
  typedef std::int32_t Integers __attribute__((vector_size(W * sizeof(std::int32_t))));
  constexpr float log2_e = 1.44269504088896341f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  constexpr float shift = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  constexpr float smallest = -87.33654f, largest = 88.72283f;

  Vector const x = a.lanes < smallest ? smallest - Vector{} : (a.lanes > largest ? largest - Vector{} : a.lanes);
  Vector const shifted = x * log2_e + shift;
  Vector const n = shifted - shift;
  Vector const r = (x - n * ln2_high) - n * ln2_low;
  Vector p = 1.9841270e-4f * r + 1.3888889e-3f;
  p = p * r + 8.3333333e-3f;
  p = p * r + 4.1666667e-2f;
  p = p * r + 1.6666667e-1f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // 2^n by two factors: n = 128 has no exponent of its own.
  Integers const exponent = (Integers)shifted - std::bit_cast<std::int32_t>(shift);
  Integers const half = exponent >> 1;
  Vector const scale = (Vector)((half + 127) << 23), rest = (Vector)((exponent - half + 127) << 23);
  Vector const result = p * scale * rest;
  Vector const zero = {}, infinity = std::numeric_limits<float>::infinity() - zero;
  Vector const bounded = a.lanes < smallest ? zero : (a.lanes > largest ? infinity : result);
  return a.lanes == a.lanes ? bounded : a.lanes;  // a NaN stays one
}

/// e^a for a <= 0 in all lanes: one factor 2^n will do, and nothing overflows. A NaN stays one: it passes both choices
/// and the product.
template <class T, int W>
Pack<T, W> exp_nonpositive(Pack<T, W> a) {
  using Vector = typename Pack<T, W>::Vector;
  using Integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  typedef Integer Integers __attribute__((vector_size(W * sizeof(Integer))));
  constexpr bool single = sizeof(T) == 4;
  constexpr int mantissa = single ? 23 : 52, bias = single ? 127 : 1023;
  constexpr T log2_e = T(1.4426950408889634);
  constexpr T ln2_high = single ? T(0.693359375f) : T(6.93147180369123816490e-01);
  constexpr T ln2_low = single ? T(-2.12194440e-4f) : T(1.90821492927058770002e-10);
  constexpr T shift = single ? T(12582912.0f) : T(6755399441055744.0);  // 1.5 * 2^mantissa
  constexpr T smallest = single ? T(-87.33654f) : T(-708.3964185322641);

  Vector const x = a.lanes < smallest ? smallest - Vector{} : a.lanes;
  Vector const shifted = x * log2_e + shift;
  Vector const n = shifted - shift;
  Vector const r = (x - n * ln2_high) - n * ln2_low;
  Vector p;
  if constexpr (single) {  // minimax on |r| <= ln 2 / 2 with e^r = 1 + r + r^2 p(r), relative error 1.1e-7
    p = 8.312501428e-3f * r + 4.189033178e-2f;
    p = p * r + 1.6667115388e-1f;
    p = p * r + 0.49999230307f;
  } else {
    p = T(1.0 / 6227020800) * r + T(1.0 / 479001600);
    p = p * r + T(1.0 / 39916800);
    p = p * r + T(1.0 / 3628800);
    p = p * r + T(1.0 / 362880);
    p = p * r + T(1.0 / 40320);
    p = p * r + T(1.0 / 5040);
    p = p * r + T(1.0 / 720);
    p = p * r + T(1.0 / 120);
    p = p * r + T(1.0 / 24);
    p = p * r + T(1.0 / 6);
    p = p * r + T(0.5);
  }
  p = p * r + T(1);
  p = p * r + T(1);
  Vector const scale = (Vector)(((Integers)shifted + bias) << mantissa);  // the shift's own bits fall off the top
  return a.lanes < smallest ? Vector{} : p * scale;
}

/// erf(a) in fp32 for all lanes, absolute error below 5e-7 (measured in tests/core/test_pack.cpp).
/// erf(a) = 1 - e^{-a^2} t (a1 + a2 t + ... + a5 t^4), t = 1 / (1 + p |a|): Abramowitz and Stegun 7.1.26; for small
/// |a|, where that difference loses relative accuracy, its Maclaurin series.
template <int W>
Pack<float, W> erf(Pack<float, W> a) {
  using P = Pack<float, W>;
  P const x = a.lanes < 0.0f ? -a.lanes : a.lanes;
  P const t = P(1.0f) / (P(1.0f) + P(0.3275911f) * x);
  P poly = P(1.061405429f) * t + P(-1.453152027f);
  poly = poly * t + P(1.421413741f);
  poly = poly * t + P(-0.284496736f);
  poly = poly * t + P(0.254829592f);
  P const far = P(1.0f) - poly * t * detail::exp(-(x * x));
  // 2/sqrt(pi) (x - x^3/3 + x^5/10 - x^7/42 + x^9/216 - x^11/1320)
  P const x2 = x * x;
  P series = P(-1.0f / 1320) * x2 + P(1.0f / 216);
  series = series * x2 + P(-1.0f / 42);
  series = series * x2 + P(0.1f);
  series = series * x2 + P(-1.0f / 3);
  series = series * x2 + P(1.0f);
  P const near = series * x * P(1.1283791671f);
  P const magnitude = x.lanes < 0.6f ? near.lanes : far.lanes;
  return a.lanes < 0.0f ? -magnitude.lanes : magnitude.lanes;
}

}  // namespace detail

template <class T, int W>
struct Math<Pack<T, W>> {
  using P = Pack<T, W>;
  static P max(P a, P b) { return where_largest(a, b, a, b); }
  static P min(P a, P b) { return ((a.lanes >= b.lanes) | (b.lanes != b.lanes)) ? b.lanes : a.lanes; }
  static P larger_number(P a, P b) { return a.lanes > b.lanes ? a.lanes : b.lanes; }
  static P where_largest(P a, P b, P yes, P no) {
    return ((a.lanes <= b.lanes) | (b.lanes != b.lanes)) ? no.lanes : yes.lanes;
  }
  static P where_greater(P a, P b, P yes, P no) { return a.lanes > b.lanes ? yes.lanes : no.lanes; }
  static P abs(P a) { return a.lanes < T(0) ? -a.lanes : a.lanes; }
  static P sqrt(P a) {
    return detail::lanewise(a, [](T x) { return std::sqrt(x); });
  }
  static P log_normal(P a) {
    if constexpr (std::same_as<T, float>) {
      return detail::log_normal(a);
    } else {
      return log(a);
    }
  }
  static P log(P a) {
    return detail::lanewise(a, [](T x) { return std::log(x); });
  }
  static void sin_cos(P a, P& sine, P& cosine) {
    if constexpr (std::same_as<T, float>) {
      typedef std::int32_t Integers __attribute__((vector_size(W * sizeof(std::int32_t))));
      detail::sin_cos<typename P::Vector, Integers>(a.lanes, sine.lanes, cosine.lanes);
    } else {
      sine = detail::lanewise(a, [](T x) { return std::sin(x); });
      cosine = detail::lanewise(a, [](T x) { return std::cos(x); });
    }
  }
  static P sin(P a) {
    P sine, cosine;
    sin_cos(a, sine, cosine);
    return sine;
  }
  static P cos(P a) {
    P sine, cosine;
    sin_cos(a, sine, cosine);
    return cosine;
  }
  static P exp(P a) {
    if constexpr (std::same_as<T, float>) {
      return detail::exp(a);
    } else {
      return detail::lanewise(a, [](T x) { return std::exp(x); });
    }
  }
  static P exp_nonpositive(P a) { return detail::exp_nonpositive(a); }
  static P tanh(P a) {
    if constexpr (std::same_as<T, float>) {
      // tanh a = sign(a) (1 - 2 / (e^{2|a|} + 1)); for small |a| its series keeps the relative accuracy
      P const x = abs(a);
      P const far = P(1.0f) - P(2.0f) / (detail::exp(x + x) + P(1.0f));
      P const x2 = x * x;
      P series = P(62.0f / 2835) * x2 + P(-17.0f / 315);
      series = series * x2 + P(2.0f / 15);
      series = series * x2 + P(-1.0f / 3);
      P const near = x + series * x2 * x;
      P const magnitude = x.lanes < 0.3f ? near.lanes : far.lanes;
      return a.lanes < 0.0f ? -magnitude.lanes : magnitude.lanes;
    } else {
      return detail::lanewise(a, [](T x) { return std::tanh(x); });
    }
  }
  static P erf(P a) {
    if constexpr (std::same_as<T, float>) {
      return detail::erf(a);
    } else {
      return detail::lanewise(a, [](T x) { return std::erf(x); });
    }
  }
};

}  // namespace attn
