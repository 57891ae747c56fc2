/// A matrix product on CUDA, by cuBLAS on the stream of the execution space instance.
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/narrow.hpp"
#include "attn/core/tensor.hpp"
#include "attn/linalg/detail/cublas_library.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>

namespace attn::linalg::detail {

template <class T>
inline constexpr cudaDataType_t cuda_type = std::same_as<T, BFloat16>  ? CUDA_R_16BF
                                            : std::same_as<T, Float16> ? CUDA_R_16F
                                            : std::same_as<T, double>  ? CUDA_R_64F
                                                                       : CUDA_R_32F;
template <class T>
inline constexpr cublasComputeType_t cublas_compute_type =
    std::same_as<T, double> ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;

/// How cuBLAS sees a row-major product: it stores by columns, where a row-major c is its transpose, and c^T = b^T a^T.
struct CublasProduct {
  struct Operand {
    cublasOperation_t operation;
    int leading;

    template <class X>
    explicit Operand(X const& x) {
      bool const transposed = x.stride(1) != 1 && x.extent(1) != 1;
      operation = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
      leading = static_cast<int>(
          std::max({Index(1), transposed ? x.stride(1) : x.stride(0), transposed ? x.extent(0) : x.extent(1)}));
    }
  };
  int m, n, k;  // of c (m, n)
  Operand a, b, c;

  template <class A, class B, class C>
  CublasProduct(A const& a_, B const& b_, C const& c_)
      : m(static_cast<int>(c_.extent(0))),
        n(static_cast<int>(c_.extent(1))),
        k(static_cast<int>(a_.extent(1))),
        a(a_),
        b(b_),
        c(c_) {}
};

/// c = alpha a b + beta c. a (m, k), b (k, n), c (m, n) row-major; a and b with one unit stride each. Sums in fp32
/// where numbers are narrow, else in their own type; fp32 is never rounded to tf32.
template <class S, class T, class Memory>
void cublas_gemm(Kokkos::Cuda const& exec, AccumulatorOf<T> alpha, Tensor<S const, 2, Memory> a,
                 Tensor<S const, 2, Memory> b, AccumulatorOf<T> beta, Tensor<T, 2, Memory> c) {
  CublasProduct const p(a, b, c);
  if (p.m == 0 || p.n == 0) return;
  auto const status = cublasGemmEx(cublas_of(exec).handle, p.b.operation, p.a.operation, p.n, p.m, p.k, &alpha,
                                   b.data(), cuda_type<S>, p.b.leading, a.data(), cuda_type<S>, p.a.leading, &beta,
                                   c.data(), cuda_type<T>, p.c.leading, cublas_compute_type<T>, CUBLAS_GEMM_DEFAULT);
  ATTN_CHECK(status == CUBLAS_STATUS_SUCCESS, "gemm: cuBLAS failed with status ", int(status), " on a product of ", p.m,
             " x ", p.n, " x ", p.k);
}

/// The power of two that divides an address, up to what cuBLASLt asks about.
inline std::int64_t alignment_of(void const* p) {
  auto const address = reinterpret_cast<std::uintptr_t>(p);
  return std::int64_t(1) << std::min(8, std::countr_zero(address | 256));
}

/// c = a b + bias + source in one pass over c, by cuBLASLt: bias (n) is added to each row, `source` has the strides of
/// c and may be null. False where the library has no such kernel; then c is as it was.
///
/// Of functions behind a product it has ReLU and the tanh approximation of GELU. Modules use the exact GELU and keep
/// its slope, so theirs stay elementwise kernels, which add the bias for nothing.
template <class S, class T, class Memory>
bool cublas_gemm_bias(Kokkos::Cuda const& exec, Tensor<S const, 2, Memory> a, Tensor<S const, 2, Memory> b,
                      T const* bias, T const* source, Tensor<T, 2, Memory> c) {
  CublasProduct const p(a, b, c);
  if (p.m == 0 || p.n == 0) return true;
  Cublas& library = cublas_of(exec);
  T const* const addend = source == nullptr ? c.data() : source;
  CublasPlan const& plan = library.plan({.operation_a = p.b.operation,
                                         .operation_b = p.a.operation,
                                         .type = cuda_type<S>,
                                         .type_c = cuda_type<T>,
                                         .compute = cublas_compute_type<T>,
                                         .m = p.n,
                                         .n = p.m,
                                         .k = p.k,
                                         .leading_a = p.b.leading,
                                         .leading_b = p.a.leading,
                                         .leading_c = p.c.leading,
                                         .adds = source != nullptr,
                                         .alignment_a = alignment_of(b.data()),
                                         .alignment_b = alignment_of(a.data()),
                                         .alignment_c = alignment_of(addend),
                                         .alignment_d = alignment_of(c.data())},
                                        bias);
  if (!plan.exists) return false;
  AccumulatorOf<T> const one = 1, beta = source == nullptr ? 0 : 1;
  auto const status = cublasLtMatmul(library.lt(), plan.operation, &one, b.data(), plan.a, a.data(), plan.b, &beta,
                                     addend, plan.c, c.data(), plan.c, &plan.algorithm, library.workspace.data(),
                                     library.workspace.extent(0), exec.cuda_stream());
  ATTN_CHECK(status == CUBLAS_STATUS_SUCCESS, "gemm: cuBLASLt failed with status ", int(status), " on a product of ",
             p.m, " x ", p.n, " x ", p.k);
  return true;
}

}  // namespace attn::linalg::detail
