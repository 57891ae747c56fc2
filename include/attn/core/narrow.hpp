/// Float16 and BFloat16: two bytes in memory, widened to `float` to compute, rounded to nearest even to store.
///
/// They are types of storage, for hosts and devices alike: `Kokkos::View<attn::BFloat16****>` goes into
/// `attn::attention` and halves its bytes; everything is accumulated in `float`. (Kokkos' own `half_t` and `bhalf_t`
/// are `float` where there is no GPU.)
#pragma once

#include "attn/core/scalar.hpp"

#include <bit>
#include <cstdint>

namespace attn {

namespace detail {

// The formats: conversions of one number (I = std::int32_t, F = float), or of vectors of them. Of I, the low 16 bits
// count. To round, what is cut off is added to half of its range, and carries 0 or 1: half of the range added to the
// whole number would overflow for some NaN.

struct BFloat16Format {
  template <class F, class I>
  static ATTN_FUNCTION F widen(I bits) {
    return std::bit_cast<F>(bits << 16);
  }

  template <class I, class F>
  static ATTN_FUNCTION I round(F x) {
    I const bits = std::bit_cast<I>(x), magnitude = bits & 0x7fffffff, high = bits >> 16;
    I const rounded = high + (((bits & 0xffff) + 0x7fff + (high & 1)) >> 16);
    return magnitude > 0x7f800000 ? high | 0x40 : rounded;  // a NaN stays one
  }
};

/// IEEE 754 binary16.
struct Float16Format {
  template <class F, class I>
  static ATTN_FUNCTION F widen(I bits) {
    I const magnitude = bits & 0x7fff;
    // The multiplication also normalises what was subnormal.
    I const scaled = std::bit_cast<I>(std::bit_cast<F>(magnitude << 13) * 0x1p112f);
    I const finite_or_not = magnitude >= 0x7c00 ? scaled | 0x7f800000 : scaled;
    return std::bit_cast<F>(finite_or_not | ((bits & 0x8000) << 16));
  }

  template <class I, class F>
  static ATTN_FUNCTION I round(F x) {
    I const bits = std::bit_cast<I>(x), magnitude = bits & 0x7fffffff, sign = (bits >> 16) & 0x8000;
    // Adding 1/2 leaves the subnormal result in the low bits, rounded; 112 is the difference of the exponents' biases.
    I const half = std::bit_cast<I>(F(0.5f - F{}));
    I const subnormal = std::bit_cast<I>(std::bit_cast<F>(magnitude) + 0.5f) - half;
    I const high = magnitude >> 13;
    I const normal = high + (((magnitude & 0x1fff) + 0xfff + (high & 1)) >> 13) - (112 << 10);
    I const finite = magnitude < 0x38800000 ? subnormal : normal;
    I const all = magnitude >= 0x47800000 ? (magnitude > 0x7f800000 ? I(0x7e00 - I{}) : I(0x7c00 - I{})) : finite;
    return all | sign;
  }
};

template <class Format>
struct Narrow : Format {
  std::uint16_t bits;

  Narrow() = default;
  ATTN_FUNCTION explicit Narrow(float x) : bits(static_cast<std::uint16_t>(Format::template round<std::int32_t>(x))) {}
  template <class Number>
  requires std::is_arithmetic_v<Number> ATTN_FUNCTION explicit operator Number() const {
    return static_cast<Number>(Format::template widen<float>(std::int32_t(bits)));
  }
};

}  // namespace detail

/// 8 bits of exponent and 7 of mantissa: the range of `float`, relative error 2^-8.
using BFloat16 = detail::Narrow<detail::BFloat16Format>;
/// 5 bits of exponent and 10 of mantissa: up to 65504, relative error 2^-11 from 6.1e-5 on.
using Float16 = detail::Narrow<detail::Float16Format>;

/// Whether S is a number of two bytes of attn.
template <class S>
inline constexpr bool is_narrow = std::same_as<S, BFloat16> || std::same_as<S, Float16>;

template <class Format>
struct AccumulatorOfTrait<detail::Narrow<Format>> {
  using type = float;
};
template <class Format>
struct RealOfTrait<detail::Narrow<Format>> {
  using type = float;
};

}  // namespace attn
