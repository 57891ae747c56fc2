/// What attn needs to know about the version of Kokkos and of the compiler; no other header asks.
#pragma once

#if __cplusplus < 202002L
#error "attn: compile as C++20 or later, by -std=c++20 (CMake's attn::attn does so by itself)"
#include "attn stops here"  // one sentence in place of a thousand
#elif defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "attn: compile without -ffast-math: it makes softmax wrong by percents and hides NaN (attn::native is safe)"
#include "attn stops here"
#endif

#include <Kokkos_Core.hpp>
#include <Kokkos_Profiling_ScopedRegion.hpp>

#if KOKKOS_VERSION < 40600
#error "attn: install Kokkos 4.6 or later (found an older one)"
#endif

/// Marks a function that runs on the host and on the device. Users write it in front of the `operator()` of an
/// activation, a mask or a residual.
#define ATTN_FUNCTION KOKKOS_FORCEINLINE_FUNCTION

///@{
/// In front of loops of device code whose arrays must stay in registers, and of those where unrolling costs registers;
/// host compilers need no such words.
#if defined(__CUDACC__)
#define ATTN_UNROLL _Pragma("unroll")
#define ATTN_ROLLED _Pragma("unroll 1")
#else
#define ATTN_UNROLL
#define ATTN_ROLLED
#endif
///@}

namespace attn {

/// True while code is compiled for a device, where host-only facilities (SIMD packs, BLAS) do not exist.
#if defined(__CUDA_ARCH__) || defined(__HIP_DEVICE_COMPILE__)
inline constexpr bool on_device = true;
#else
inline constexpr bool on_device = false;
#endif

/// Whether host kernels may compute in packs of reals: nvcc allows no vector in a function that also runs on a device.
#if defined(__CUDACC__) && !defined(__clang__)
inline constexpr bool has_packs = false;
#pragma nv_diag_suppress 1675  // it does not know `#pragma GCC unroll`, which stands in host kernels
#else
inline constexpr bool has_packs = true;
#endif

/// Opens a named region for Kokkos' profiling tools for as long as it lives.
using ProfilingRegion = Kokkos::Profiling::ScopedRegion;

}  // namespace attn
