/// Numbers as tensor cores take them: fp16, bf16 and tf32 in registers of 32 bits.
#pragma once

#include "attn/core/scalar.hpp"

#include <bit>
#include <cstdint>

namespace attn::detail::cuda {

/// How the operands of a product are held; sums are fp32 always. `fp32` writes each operand as the sum of two tf32
/// numbers and makes three products of them: as accurate as fp32, at a third of the rate of tf32.
enum class Format { fp16, bf16, tf32, fp32 };

template <Format F>
inline constexpr bool is_narrow = F == Format::fp16 || F == Format::bf16;
template <Format F>
inline constexpr int element_bytes = is_narrow<F> ? 2 : 4;

/// The format that serves tensors of X; specialise it for a type of one's own that is stored like one of these.
template <class X>
inline constexpr bool has_format = std::same_as<X, float>;
template <class X>
inline constexpr Format format_of = Format::fp32;
#if !KOKKOS_HALF_T_IS_FLOAT
template <>
inline constexpr bool has_format<Kokkos::Experimental::half_t> = true;
template <>
inline constexpr Format format_of<Kokkos::Experimental::half_t> = Format::fp16;
#endif
#if !KOKKOS_BHALF_T_IS_FLOAT
template <>
inline constexpr bool has_format<Kokkos::Experimental::bhalf_t> = true;
template <>
inline constexpr Format format_of<Kokkos::Experimental::bhalf_t> = Format::bf16;
#endif

/// The nearest number of 11 significant bits; halves away from zero, as the device's own instruction.
ATTN_FUNCTION std::uint32_t round_to_tf32(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  std::uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
#else
  auto const bits = std::bit_cast<std::uint32_t>(x);
  bool const is_finite = (bits & 0x7f800000u) != 0x7f800000u;
  return is_finite ? (bits + 0x1000u) & 0xffffe000u : bits;
#endif
}

/// The nearest number of 8 significant bits, halves to even, as the upper half of a float.
inline std::uint32_t host_bf16(float x) {
  auto const bits = std::bit_cast<std::uint32_t>(x);
  if (x != x) return 0x7fffu;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
/// The nearest fp16, halves to even.
inline std::uint32_t host_fp16(float x) {
  auto const bits = std::bit_cast<std::uint32_t>(x);
  std::uint32_t const sign = (bits >> 16) & 0x8000u;
  float const size = std::bit_cast<float>(bits & 0x7fffffffu);
  if (x != x) return 0x7fffu;
  if (size >= 65520.0f) return sign | 0x7c00u;
  // Adding 2^(e + 13) rounds a number of exponent e to 11 bits; below 2^-14 all numbers have the same last bit.
  int const exponent = static_cast<int>(std::bit_cast<std::uint32_t>(size) >> 23) - 127;
  float const rounder =
      std::bit_cast<float>(static_cast<std::uint32_t>((exponent < -14 ? -14 : exponent) + 13 + 127) << 23);
  float const rounded = (size + rounder) - rounder;
  if (rounded < 6.103515625e-05f) return sign | static_cast<std::uint32_t>(rounded * 16777216.0f);  // subnormal
  auto const r = std::bit_cast<std::uint32_t>(rounded);
  return sign | ((r >> 13) - (112u << 10));
}
inline float host_from_fp16(std::uint32_t bits) {
  float const sign = (bits & 0x8000u) != 0 ? -1.0f : 1.0f;
  std::uint32_t const exponent = (bits >> 10) & 31u, fraction = bits & 0x3ffu;
  if (exponent == 0) return sign * static_cast<float>(fraction) * 5.9604644775390625e-08f;
  if (exponent == 31) return std::bit_cast<float>((bits & 0x8000u) << 16 | 0x7f800000u | fraction << 13);
  return std::bit_cast<float>((bits & 0x8000u) << 16 | (exponent + 112u) << 23 | fraction << 13);
}

/// Two numbers rounded to 16 bits, the first in the lower half of the register.
template <Format F>
ATTN_FUNCTION std::uint32_t pack(float first, float second) {
  static_assert(is_narrow<F>);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  std::uint32_t bits;
  if constexpr (F == Format::bf16) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(second), "f"(first));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(second), "f"(first));
  }
  return bits;
#else
  auto const round = [](float x) { return F == Format::bf16 ? host_bf16(x) : host_fp16(x); };
  return round(first) | round(second) << 16;
#endif
}

/// The same for operands of products: the largest fp16 stands for what is larger. A cube of 41 is not infinite then,
/// and its product with zero is a number.
template <Format F>
ATTN_FUNCTION std::uint32_t pack_finite(float first, float second) {
  if constexpr (F == Format::fp16) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    std::uint32_t bits = pack<F>(first, second);
    asm("min.NaN.f16x2 %0, %0, %1;" : "+r"(bits) : "r"(0x7bff7bffu));
    asm("max.NaN.f16x2 %0, %0, %1;" : "+r"(bits) : "r"(0xfbfffbffu));
    return bits;
#else
    auto const bounded = [](float x) { return attn::min(65504.0f, attn::max(-65504.0f, x)); };  // keeps a NaN
    return pack<F>(bounded(first), bounded(second));
#endif
  } else {
    return pack<F>(first, second);
  }
}

}  // namespace attn::detail::cuda
