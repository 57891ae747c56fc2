/// gemm: the product of two matrices, with work on each element of the result while it is in the cache.
#pragma once

#include "attn/core/elementwise.hpp"
#include "attn/core/overlap.hpp"
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

/// What an epilogue adds if it does nothing else: it then says so by a member `addends(rows)`, and libraries that add
/// these themselves save a pass over the product of so many rows.
template <class T>
struct Addends {
  T const* bias = nullptr;    ///< (n), added to each row; null: the epilogue does more than add
  T const* source = nullptr;  ///< (m, n) with the strides of c; may be null
};

namespace detail {

/// One element of c on a device without a BLAS.
template <class S, class T, class Memory>
struct GemmElement {
  using Wide = AccumulatorOf<T>;
  Wide alpha;
  Tensor<S const, 2, Memory> a, b;
  Wide beta;
  Tensor<T, 2, Memory> c;

  ATTN_FUNCTION void operator()(Index index) const {
    Index const i = index / c.extent(1), j = index % c.extent(1);
    Wide sum = 0;
    for (Index p = 0; p < a.extent(1); ++p) sum += Wide(a(i, p)) * Wide(b(p, j));
    c(i, j) = T(alpha * sum + (beta == Wide(0) ? Wide(0) : beta * Wide(c(i, j))));
  }
};

}  // namespace detail

/// a (m, k), b (k, n), c (m, n): c = alpha a b + beta c, then `epilogue(lanes, row, column)` over the elements of c (an
/// elementwise functor, see core/elementwise.hpp; it reads c itself). With beta = 0, c need not be initialised.
///
/// One stride of each matrix is 1, in c the second one; a transposed operand is `x.transpose(0, 1)`. 2 m n k flops.
/// The same bits for any number of host threads. fp32 runs on oneDNN, fp64 on CBLAS, both on cuBLAS in CUDA; a portable
/// kernel stands in for a library that is absent.
///
/// a and b may be numbers of two bytes, c then of the same type or `float`: products of tensor cores in CUDA, and
/// elsewhere of copies in fp32. Sums are those of fp32.
template <ExecutionSpace Exec, class A, class B, class T, class Memory, class Epilogue = NoEpilogue>
requires AccessibleFrom<Memory, Exec>
void gemm(Exec const& exec, std::type_identity_t<AccumulatorOf<T>> alpha, Tensor<A, 2, Memory> const& a,
          Tensor<B, 2, Memory> const& b, std::type_identity_t<AccumulatorOf<T>> beta, Tensor<T, 2, Memory> const& c,
          Epilogue const& epilogue = {}) {
  using S = std::remove_const_t<A>;
  static_assert(std::same_as<S, std::remove_const_t<B>> && std::same_as<AccumulatorOf<S>, AccumulatorOf<T>> &&
                    (std::same_as<S, T> || is_narrow<S>),
                "gemm: give a and b of one scalar, and c of the same, or of float where that is narrow");
  ATTN_CHECK(a.extent(0) == c.extent(0) && a.extent(1) == b.extent(0) && b.extent(1) == c.extent(1),
             "gemm: give a (m, k), b (k, n) and c (m, n), got (", a.extent(0), ", ", a.extent(1), "), (", b.extent(0),
             ", ", b.extent(1), ") and (", c.extent(0), ", ", c.extent(1), ")");
  auto const has_unit_stride = [](auto const& x) {
    return x.stride(0) == 1 || x.stride(1) == 1 || x.extent(0) <= 1 || x.extent(1) <= 1;
  };
  ATTN_CHECK(has_unit_stride(a) && has_unit_stride(b) && (c.stride(1) == 1 || c.extent(1) <= 1),
             "gemm: give matrices with a unit stride (c in its second dimension), got strides (", a.stride(0), ", ",
             a.stride(1), "), (", b.stride(0), ", ", b.stride(1), ") and (", c.stride(0), ", ", c.stride(1), ")");
  ATTN_CHECK(!overlap(c, a) && !overlap(c, b), "gemm: give c memory of its own; it overlaps that of ",
             overlap(c, a) ? "a" : "b");
  ProfilingRegion const region("attn::gemm");
  Tensor<S const, 2, Memory> const left = a, right = b;
  if constexpr (HostExecutionSpace<Exec>) {
    if constexpr (is_narrow<S>) {
      detail::host_narrow_gemm<Exec, S, T>(exec, alpha, left, right, beta, c, epilogue);
    } else {
      detail::host_gemm<Exec, T>(exec, alpha, left, right, beta, c, epilogue);
    }
  } else {
#if defined(ATTN_HAVE_CUBLAS) && defined(KOKKOS_ENABLE_CUDA)
    if constexpr (requires {
                    { epilogue.addends(c.extent(0)) } -> std::same_as<Addends<T>>;
                  }) {
      Addends<T> const addends = epilogue.addends(c.extent(0));
      if (alpha == 1 && beta == 0 && addends.bias != nullptr &&
          detail::cublas_gemm_bias(exec, left, right, addends.bias, addends.source, c))
        return;
    }
    detail::cublas_gemm(exec, alpha, left, right, beta, c);
#else
    attn::launch("attn::gemm", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, c.size()),
                 detail::GemmElement<S, T, Memory>{alpha, left, right, beta, c});
#endif
    if constexpr (!std::is_same_v<Epilogue, NoEpilogue>) {
      elementwise<T>(exec, "attn::gemm::epilogue", c.extent(0), c.extent(1), epilogue);
    }
  }
}

}  // namespace attn::linalg
