/// Scalars: which types attention computes with, and the elementary functions that hold for all of them.
///
/// A policy or module is written once, for any scalar `T`: `float`, `double`, a SIMD `Pack` of them, a `Jet` that
/// carries derivatives. It calls `attn::max`, `attn::exp`, ..., and never branches on a value: a pack has no single
/// answer to `a < b`. A new scalar type specialises `RealOf` and `Math`, and everything else follows.
#pragma once

#include "attn/core/kokkos_compat.hpp"

#include <concepts>
#include <limits>
#include <type_traits>

namespace attn {

/// A machine number that parameters, pointers and views hold.
template <class T>
concept Real = std::floating_point<T>;

/// `RealOf<T>::type`: the machine number behind a scalar: itself for a real, `float` for `Pack<float, 16>`.
template <class T>
struct RealOfTrait {
  using type = T;
};
/// @copydoc RealOfTrait
template <class T>
using RealOf = typename RealOfTrait<T>::type;

/// Numbers that are stored narrow are accumulated in `float`; the others in their own type.
template <class T>
struct AccumulatorOfTrait {
  using type = T;
};
template <>
struct AccumulatorOfTrait<Kokkos::Experimental::half_t> {
  using type = float;
};
#if !defined(KOKKOS_BHALF_T_IS_FLOAT) || !KOKKOS_BHALF_T_IS_FLOAT
template <>
struct AccumulatorOfTrait<Kokkos::Experimental::bhalf_t> {
  using type = float;
};
#endif
/// @copydoc AccumulatorOfTrait
template <class T>
using AccumulatorOf = typename AccumulatorOfTrait<T>::type;

/// The elementary functions of one scalar type. The primary template serves `float` and `double`.
template <class T>
struct Math {
  static ATTN_FUNCTION T max(T a, T b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    if constexpr (std::same_as<T, float>) {  // one instruction, where a comparison takes two
      float larger;
      asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(a), "f"(b));
      return larger;
    }
#endif
    return where_largest(a, b, a, b);
  }
  static ATTN_FUNCTION T min(T a, T b) { return a >= b || b != b ? b : a; }
  static ATTN_FUNCTION T larger_number(T a, T b) {
#if defined(__CUDA_ARCH__)
    if constexpr (std::same_as<T, float>) return fmaxf(a, b);
#endif
    return a > b ? a : b;
  }
  static ATTN_FUNCTION T where_largest(T a, T b, T yes, T no) { return a <= b || b != b ? no : yes; }
  static ATTN_FUNCTION T where_greater(T a, T b, T yes, T no) { return a > b ? yes : no; }
  static ATTN_FUNCTION T abs(T a) { return Kokkos::abs(a); }
  static ATTN_FUNCTION T exp(T a) { return Kokkos::exp(a); }
  static ATTN_FUNCTION T log(T a) { return Kokkos::log(a); }
  static ATTN_FUNCTION T sqrt(T a) { return Kokkos::sqrt(a); }
  static ATTN_FUNCTION T sin(T a) { return Kokkos::sin(a); }
  static ATTN_FUNCTION T cos(T a) { return Kokkos::cos(a); }
  static ATTN_FUNCTION T tanh(T a) { return Kokkos::tanh(a); }
  static ATTN_FUNCTION T erf(T a) { return Kokkos::erf(a); }
};

///@{
/// The elementary functions. One rule for NaN holds for every scalar and on every machine: a NaN never vanishes.
///
///  1. `max`, `min`, `abs`, and all functions of one number: NaN where any argument is.
///  2. `where_greater(a, b, yes, no)` is `a > b ? yes : no`, lane by lane, hence `no` where a or b is NaN.
///     `where_largest(a, b, yes, no)` is `yes` where `max(a, b)` is a, also because that is NaN: a slope that belongs
///     to `max(s, 0)` is `where_largest(s, 0, 1, 0)`.
///  3. `larger_number(a, b)` is one instruction where `max` takes three, and may drop a NaN: for those who keep it by
///     other means, as softmax does in the exponential of a score less the maximum.
///
/// Where two arguments are equal, `max` and `min` return the second, and a derivative of `max`, `min` or `abs` at its
/// corner is that of the second argument (so that of 0 for `max(s, 0)`).
// clang-format off
template <class T> ATTN_FUNCTION T max(T a, T b) { return Math<T>::max(a, b); }
template <class T> ATTN_FUNCTION T min(T a, T b) { return Math<T>::min(a, b); }
template <class T> ATTN_FUNCTION T larger_number(T a, T b) { return Math<T>::larger_number(a, b); }
template <class T> ATTN_FUNCTION T where_greater(T a, T b, T yes, T no) { return Math<T>::where_greater(a, b, yes, no); }
template <class T> ATTN_FUNCTION T where_largest(T a, T b, T yes, T no) { return Math<T>::where_largest(a, b, yes, no); }
template <class T> ATTN_FUNCTION T abs(T a) { return Math<T>::abs(a); }
template <class T> ATTN_FUNCTION T exp(T a) { return Math<T>::exp(a); }
template <class T> ATTN_FUNCTION T log(T a) { return Math<T>::log(a); }
template <class T> ATTN_FUNCTION T sqrt(T a) { return Math<T>::sqrt(a); }
template <class T> ATTN_FUNCTION T sin(T a) { return Math<T>::sin(a); }
template <class T> ATTN_FUNCTION T cos(T a) { return Math<T>::cos(a); }
template <class T> ATTN_FUNCTION T tanh(T a) { return Math<T>::tanh(a); }
template <class T> ATTN_FUNCTION T erf(T a) { return Math<T>::erf(a); }
///@}
// clang-format on

/// An e-th power is a power of two of so many times the exponent.
inline constexpr double log2_of_e = 1.4426950408889634;

/// 2^a for a <= 0, where an exponential that never overflows is cheaper. Any other a gives any number. On a GPU, fp32,
/// one instruction of two roundings; results below 2^-126 are zero.
template <class T>
ATTN_FUNCTION T exp2_nonpositive(T a) {
#if defined(__CUDA_ARCH__)
  if constexpr (std::same_as<T, float>) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(a));
    return power;
  } else
#endif
  {
    return Kokkos::exp2(a);
  }
}

/// e^a for a <= 0, likewise. On a GPU, fp32, the relative error is |a| roundings.
template <class T>
ATTN_FUNCTION T exp_nonpositive(T a) {
  if constexpr (requires { Math<T>::exp_nonpositive(a); }) {
    return Math<T>::exp_nonpositive(a);
#if defined(__CUDA_ARCH__)
  } else if constexpr (std::same_as<T, float>) {
    return exp2_nonpositive(a * float(log2_of_e));  // where __expf takes three more to keep results below 2^-126
#endif
  } else {
    return Math<T>::exp(a);
  }
}

/// Sine and cosine of the same argument.
template <class T>
ATTN_FUNCTION void sin_cos(T a, T& sine, T& cosine) {
  if constexpr (requires { Math<T>::sin_cos(a, sine, cosine); }) {
    Math<T>::sin_cos(a, sine, cosine);
  } else {
    sine = Math<T>::sin(a);
    cosine = Math<T>::cos(a);
  }
}

/// a^P by repeated squaring, unrolled at compile time; a^0 = 1.
template <int P, class T>
ATTN_FUNCTION constexpr T power(T a) {
  static_assert(P >= 0, "power: the exponent must not be negative");
  if constexpr (P == 0) {
    return T(1);
  } else if constexpr (P == 1) {
    return a;
  } else {
    T const half = power<P / 2>(a);
    if constexpr (P % 2 == 0) {
      return half * half;
    } else {
      return half * half * a;
    }
  }
}

/// The most negative finite value: the start of a running maximum (never an infinity, whose differences are NaN).
template <class T>
inline constexpr RealOf<T> lowest = std::numeric_limits<RealOf<T>>::lowest();

}  // namespace attn
