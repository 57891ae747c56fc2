/// One tile of a matrix product, on one thread of the host, by the best library at hand.
#pragma once

#include "attn/core/check.hpp"
#include "attn/linalg/detail/gemm_portable.hpp"

#if defined(ATTN_HAVE_ONEDNN)
#include <dnnl.h>
#endif
#if defined(ATTN_HAVE_CBLAS)
#include <cblas.h>
#endif
#if defined(_OPENMP)
#include <omp.h>
#endif

#include <concepts>

namespace attn::linalg::detail {

/// Libraries that spread a call over OpenMP threads of their own keep to the caller's thread while this lives; they do
/// so by themselves only inside an active parallel region.
class OneThread {
 public:
#if defined(_OPENMP)
  OneThread() : saved_(omp_get_max_threads()) {
    if (saved_ != 1) omp_set_num_threads(1);
  }
  ~OneThread() {
    if (saved_ != 1) omp_set_num_threads(saved_);
  }

 private:
  int saved_;
#endif
};

/// How the BLAS interface describes a matrix of which one stride is 1.
struct BlasOperand {
  bool transposed;  // relative to row-major
  Index leading;

  template <class T>
  explicit BlasOperand(Tensor<T, 2, Kokkos::HostSpace> const& x)
      : transposed(x.stride(1) != 1 && x.extent(1) != 1),
        leading(std::max({Index(1), transposed ? x.stride(1) : x.stride(0), transposed ? x.extent(0) : x.extent(1)})) {}
};

/// c = alpha a b + beta c. a (m, k), b (k, n), c (m, n) row-major; a and b with one unit stride each.
template <Real T>
void gemm_tile(T alpha, Tensor<T const, 2, Kokkos::HostSpace> a, Tensor<T const, 2, Kokkos::HostSpace> b, T beta,
               Tensor<T, 2, Kokkos::HostSpace> c) {
  [[maybe_unused]] BlasOperand const x(a), y(b), z(c);
  [[maybe_unused]] Index const m = c.extent(0), n = c.extent(1), k = a.extent(1);
  if (k == 0) return PortableGemm<T>::run(alpha, a, b, beta, c);
#if defined(ATTN_HAVE_ONEDNN)
  if constexpr (std::same_as<T, float>) {
    OneThread const one;
    auto const status = dnnl_sgemm(x.transposed ? 'T' : 'N', y.transposed ? 'T' : 'N', m, n, k, alpha, a.data(),
                                   x.leading, b.data(), y.leading, beta, c.data(), z.leading);
    ATTN_CHECK(status == dnnl_success, "gemm: dnnl_sgemm failed with status ", int(status), " on a product of ", m,
               " x ", n, " x ", k);
    return;
  }
#endif
#if defined(ATTN_HAVE_CBLAS)
  OneThread const one;
  auto const op = [](BlasOperand const& o) { return o.transposed ? CblasTrans : CblasNoTrans; };
  auto const i = [](Index size) { return static_cast<int>(size); };
  if constexpr (std::same_as<T, double>) {
    cblas_dgemm(CblasRowMajor, op(x), op(y), i(m), i(n), i(k), alpha, a.data(), i(x.leading), b.data(), i(y.leading),
                beta, c.data(), i(z.leading));
    return;
  } else if constexpr (std::same_as<T, float>) {
    cblas_sgemm(CblasRowMajor, op(x), op(y), i(m), i(n), i(k), alpha, a.data(), i(x.leading), b.data(), i(y.leading),
                beta, c.data(), i(z.leading));
    return;
  }
#endif
  PortableGemm<T>::run(alpha, a, b, beta, c);
}

}  // namespace attn::linalg::detail
