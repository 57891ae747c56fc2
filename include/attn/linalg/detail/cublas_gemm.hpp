/// A matrix product on CUDA, by cuBLAS on the stream of the execution space instance.
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/scalar.hpp"
#include "attn/core/tensor.hpp"

#include <cublas_v2.h>

#include <algorithm>
#include <concepts>
#include <map>

namespace attn::linalg::detail {

/// One handle for each device, made at first use and destroyed when Kokkos ends. Host code of one thread.
inline cublasHandle_t cublas_handle(Kokkos::Cuda const& exec) {
  static std::map<int, cublasHandle_t> handles;
  auto const [at, is_new] = handles.try_emplace(exec.cuda_device());
  if (is_new) {
    auto const status = cublasCreate(&at->second);
    ATTN_CHECK(status == CUBLAS_STATUS_SUCCESS, "gemm: cublasCreate failed with status ", int(status));
    if (handles.size() == 1) {
      Kokkos::push_finalize_hook([] {
        for (auto const& [device, handle] : handles) cublasDestroy(handle);
        handles.clear();
      });
    }
  }
  cublasSetStream(at->second, exec.cuda_stream());
  return at->second;
}

/// c = alpha a b + beta c. a (m, k), b (k, n), c (m, n) row-major; a and b with one unit stride each.
/// cuBLAS stores by columns: a row-major c is its transpose there, and c^T = b^T a^T.
template <Real T, class Memory>
void cublas_gemm(Kokkos::Cuda const& exec, T alpha, Tensor<T const, 2, Memory> a, Tensor<T const, 2, Memory> b, T beta,
                 Tensor<T, 2, Memory> c) {
  auto const is_transposed = [](auto const& x) { return x.stride(1) != 1 && x.extent(1) != 1; };
  auto const leading = [&](auto const& x) {
    bool const t = is_transposed(x);
    return static_cast<int>(std::max({Index(1), t ? x.stride(1) : x.stride(0), t ? x.extent(0) : x.extent(1)}));
  };
  auto const op = [&](auto const& x) { return is_transposed(x) ? CUBLAS_OP_T : CUBLAS_OP_N; };
  int const m = static_cast<int>(c.extent(0)), n = static_cast<int>(c.extent(1)), k = static_cast<int>(a.extent(1));
  if (m == 0 || n == 0) return;
  cublasHandle_t const handle = cublas_handle(exec);
  cublasStatus_t status;
  if constexpr (std::same_as<T, float>) {
    status = cublasSgemm(handle, op(b), op(a), n, m, k, &alpha, b.data(), leading(b), a.data(), leading(a), &beta,
                         c.data(), leading(c));
  } else {
    static_assert(std::same_as<T, double>, "gemm: use float or double on CUDA");
    status = cublasDgemm(handle, op(b), op(a), n, m, k, &alpha, b.data(), leading(b), a.data(), leading(a), &beta,
                         c.data(), leading(c));
  }
  ATTN_CHECK(status == CUBLAS_STATUS_SUCCESS, "gemm: cuBLAS failed with status ", int(status), " on a product of ", m,
             " x ", n, " x ", k);
}

}  // namespace attn::linalg::detail
