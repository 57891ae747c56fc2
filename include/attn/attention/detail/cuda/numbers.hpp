/// Numbers as tensor cores take them: fp16, bf16 and tf32 in registers of 32 bits.
#pragma once

#include "attn/core/narrow.hpp"

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

/// The format that serves tensors of X.
template <class X>
inline constexpr bool has_format = std::same_as<X, float> || std::same_as<X, Float16> || std::same_as<X, BFloat16>;
template <class X>
inline constexpr Format format_of = Format::fp32;
template <>
inline constexpr Format format_of<Float16> = Format::fp16;
template <>
inline constexpr Format format_of<BFloat16> = Format::bf16;
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

/// The same of a result of the device's arithmetic, for tensor cores, which cut off what tf32 has no room for: on a
/// device the lower bits are left to them, which makes one instruction of four. The greater integer keeps the NaN of
/// arithmetic.
ATTN_FUNCTION std::uint32_t round_result_to_tf32(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  auto const bits = std::bit_cast<std::int32_t>(x), next = std::int32_t(std::uint32_t(bits) + 0x1000u);
  return std::uint32_t(next > bits ? next : bits);
#else
  return round_to_tf32(x);
#endif
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
  using Narrow = std::conditional_t<F == Format::bf16, BFloat16, Float16>;
  return std::uint32_t(Narrow(first).bits) | std::uint32_t(Narrow(second).bits) << 16;
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

/// A NaN as one number of 32 bits, or as two of 16 bits of any format. Pass it by value: device code has no object.
inline constexpr std::uint32_t nan_bits = 0x7fffffff;

/// What is not finite in a register that holds one number or two becomes zero. Returns whether there was any.
template <Format F>
ATTN_FUNCTION bool make_finite(std::uint32_t& bits) {
  if constexpr (is_narrow<F>) {
    // The exponents of infinities and NaN have all bits: one more in their last place is a carry into the sign's.
    constexpr std::uint32_t last = F == Format::bf16 ? 0x00800080 : 0x04000400;
    std::uint32_t const carry = ((bits & 0x7fff7fffu) + last) & 0x80008000u;
    if (carry == 0) return false;
    bits &= ~((carry >> 15) * 0xffffu);
  } else {
    if ((bits & 0x7f800000u) != 0x7f800000u) return false;
    bits = 0;
  }
  return true;
}

}  // namespace attn::detail::cuda
