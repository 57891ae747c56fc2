/// gemm: the product of two matrices, with work on each element of the result while it is in the cache.
#pragma once

#include "attn/core/elementwise.hpp"
#include "attn/core/tensor.hpp"
#include "attn/linalg/detail/host_gemm.hpp"

#if defined(ATTN_HAVE_CUBLAS) && defined(KOKKOS_ENABLE_CUDA)
#include "attn/linalg/detail/cublas_gemm.hpp"
#endif

#include <type_traits>

namespace attn::linalg {

/// Work on the elements of a product: none.
struct NoEpilogue {
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes, Index, Index) const {}
};

namespace detail {

/// One element of c on a device without a BLAS.
template <class T, class Memory>
struct GemmElement {
  T alpha;
  Tensor<T const, 2, Memory> a, b;
  T beta;
  Tensor<T, 2, Memory> c;

  ATTN_FUNCTION void operator()(Index index) const {
    Index const i = index / c.extent(1), j = index % c.extent(1);
    T sum = 0;
    for (Index p = 0; p < a.extent(1); ++p) sum += a(i, p) * b(p, j);
    c(i, j) = alpha * sum + (beta == T(0) ? T(0) : beta * c(i, j));
  }
};

}  // namespace detail

/// a (m, k), b (k, n), c (m, n): c = alpha a b + beta c, then `epilogue(lanes, row, column)` over the elements of c (an
/// elementwise functor, see core/elementwise.hpp; it reads c itself). With beta = 0, c need not be initialised.
///
/// One stride of each matrix is 1, in c the second one; a transposed operand is `x.transpose(0, 1)`. 2 m n k flops.
/// The same bits for any number of host threads. fp32 runs on oneDNN, fp64 on CBLAS, both on cuBLAS in CUDA; a portable
/// kernel stands in for a library that is absent.
template <ExecutionSpace Exec, Real T, class Memory, class Epilogue = NoEpilogue>
requires AccessibleFrom<Memory, Exec>
void gemm(Exec const& exec, std::type_identity_t<T> alpha, std::type_identity_t<Tensor<T const, 2, Memory>> a,
          std::type_identity_t<Tensor<T const, 2, Memory>> b, std::type_identity_t<T> beta,
          Tensor<T, 2, Memory> const& c, Epilogue const& epilogue = {}) {
  ATTN_CHECK(a.extent(0) == c.extent(0) && a.extent(1) == b.extent(0) && b.extent(1) == c.extent(1),
             "gemm: give a (m, k), b (k, n) and c (m, n), got (", a.extent(0), ", ", a.extent(1), "), (", b.extent(0),
             ", ", b.extent(1), ") and (", c.extent(0), ", ", c.extent(1), ")");
  auto const has_unit_stride = [](auto const& x) {
    return x.stride(0) == 1 || x.stride(1) == 1 || x.extent(0) <= 1 || x.extent(1) <= 1;
  };
  ATTN_CHECK(has_unit_stride(a) && has_unit_stride(b) && (c.stride(1) == 1 || c.extent(1) <= 1),
             "gemm: give matrices with a unit stride (c in its second dimension), got strides (", a.stride(0), ", ",
             a.stride(1), "), (", b.stride(0), ", ", b.stride(1), ") and (", c.stride(0), ", ", c.stride(1), ")");
  ProfilingRegion const region("attn::gemm");
  if constexpr (HostExecutionSpace<Exec>) {
    detail::host_gemm<Exec, T>(exec, alpha, a, b, beta, c, epilogue);
    return;
#if defined(ATTN_HAVE_CUBLAS) && defined(KOKKOS_ENABLE_CUDA)
  } else if constexpr (std::is_same_v<Exec, Kokkos::Cuda>) {
    detail::cublas_gemm<T>(exec, alpha, a, b, beta, c);
#endif
  } else {
    Kokkos::parallel_for("attn::gemm", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, c.size()),
                         detail::GemmElement<T, Memory>{alpha, a, b, beta, c});
  }
  if constexpr (!HostExecutionSpace<Exec> && !std::is_same_v<Epilogue, NoEpilogue>) {
    elementwise<T>(exec, "attn::gemm::epilogue", c.extent(0), c.extent(1), epilogue);
  }
}

}  // namespace attn::linalg
