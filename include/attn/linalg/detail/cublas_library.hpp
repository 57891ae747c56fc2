/// What cuBLAS keeps between calls: a handle and scratch memory for each stream, and cuBLASLt's choices of kernels.
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/concepts.hpp"

#include <cublasLt.h>
#include <cublas_v2.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

namespace attn::linalg::detail {

/// A product as cuBLASLt sees it, by columns: all that its choice of a kernel depends on.
struct CublasShape {
  int operation_a, operation_b;  // cublasOperation_t
  int type, type_c;              // cudaDataType_t: of a and b, of c and d
  int compute;                   // cublasComputeType_t
  int m, n, k;
  int leading_a, leading_b, leading_c;
  bool adds;  // c
  std::int64_t alignment_a, alignment_b, alignment_c, alignment_d;

  auto operator<=>(CublasShape const&) const = default;
};

/// d = a b + bias (+ c) in one kernel. cuBLASLt's objects, made once for a shape.
struct CublasPlan {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulAlgo_t algorithm = {};
  bool exists = false;  ///< whether the library has such a kernel

  /// The choice of a kernel may look at the bias too; `add_bias` names that of the next product.
  CublasPlan(cublasLtHandle_t handle, CublasShape const& s, std::size_t workspace_bytes, void const* bias) {
    auto const scale = s.compute == CUBLAS_COMPUTE_64F ? CUDA_R_64F : CUDA_R_32F;
    cublasLtMatmulDescCreate(&operation, cublasComputeType_t(s.compute), scale);
    auto const set = [&](cublasLtMatmulDescAttributes_t attribute, auto value) {
      cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value);
    };
    set(CUBLASLT_MATMUL_DESC_TRANSA, std::int32_t(s.operation_a));
    set(CUBLASLT_MATMUL_DESC_TRANSB, std::int32_t(s.operation_b));
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    add_bias(bias);
    auto const layout = [](cublasLtMatrixLayout_t& to, int type, int operation, int rows, int columns, int leading) {
      if (operation == CUBLAS_OP_T) std::swap(rows, columns);
      cublasLtMatrixLayoutCreate(&to, cudaDataType_t(type), std::uint64_t(rows), std::uint64_t(columns), leading);
    };
    layout(a, s.type, s.operation_a, s.m, s.k, s.leading_a);
    layout(b, s.type, s.operation_b, s.k, s.n, s.leading_b);
    layout(c, s.type_c, CUBLAS_OP_N, s.m, s.n, s.leading_c);

    cublasLtMatmulPreference_t preference = nullptr;
    cublasLtMatmulPreferenceCreate(&preference);
    auto const prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value);
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t(workspace_bytes));
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, std::uint32_t(s.alignment_a));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, std::uint32_t(s.alignment_b));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, std::uint32_t(s.alignment_c));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, std::uint32_t(s.alignment_d));
    cublasLtMatmulHeuristicResult_t best = {};
    int found = 0;
    auto const status = cublasLtMatmulAlgoGetHeuristic(handle, operation, a, b, c, c, preference, 1, &best, &found);
    exists = status == CUBLAS_STATUS_SUCCESS && found == 1;
    algorithm = best.algo;
    cublasLtMatmulPreferenceDestroy(preference);
  }
  ~CublasPlan() {
    cublasLtMatrixLayoutDestroy(a);
    cublasLtMatrixLayoutDestroy(b);
    cublasLtMatrixLayoutDestroy(c);
    cublasLtMatmulDescDestroy(operation);
  }
  void add_bias(void const* bias) const {
    cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
  }

  CublasPlan(CublasPlan const&) = delete;
  CublasPlan& operator=(CublasPlan const&) = delete;
};

/// A handle whose work goes to one stream. Its scratch memory is its own, so that products need no memory of the
/// driver, in CUDA graphs least of all, and streams do not disturb one another.
struct Cublas {
  static constexpr std::size_t workspace_bytes = std::size_t(32) << 20;  // what NVIDIA advises for Hopper

  cublasHandle_t handle = nullptr;
  Kokkos::View<std::byte*, Kokkos::CudaSpace> workspace;
  std::map<CublasShape, CublasPlan> plans;

  explicit Cublas(Kokkos::Cuda const& exec)
      : workspace(Kokkos::view_alloc(Kokkos::WithoutInitializing, "attn::linalg::Cublas"), workspace_bytes) {
    auto const status = cublasCreate(&handle);
    ATTN_CHECK(status == CUBLAS_STATUS_SUCCESS, "gemm: cublasCreate failed with status ", int(status));
    cublasSetStream(handle, exec.cuda_stream());  // resets the workspace, so it comes first
    cublasSetWorkspace(handle, workspace.data(), workspace_bytes);
    // Parts of a sum of narrow numbers are fp32 too.
    cublasSetMathMode(handle, cublasMath_t(CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION));
  }
  ~Cublas() {
    plans.clear();
    cublasDestroy(handle);
  }
  Cublas(Cublas const&) = delete;
  Cublas& operator=(Cublas const&) = delete;

  cublasLtHandle_t lt() const { return reinterpret_cast<cublasLtHandle_t>(handle); }  // every handle is one of both

  /// What d = a b + bias (+ c) of this shape runs by.
  CublasPlan const& plan(CublasShape const& shape, void const* bias) {
    CublasPlan const& plan = plans.try_emplace(shape, lt(), shape, workspace_bytes, bias).first->second;
    plan.add_bias(bias);
    return plan;
  }
};

/// The library for an instance's device and stream, made at first use and destroyed when Kokkos ends. Host code of one
/// thread.
inline Cublas& cublas_of(Kokkos::Cuda const& exec) {
  static std::map<std::pair<int, cudaStream_t>, Cublas> libraries;
  if (libraries.empty()) Kokkos::push_finalize_hook([] { libraries.clear(); });
  return libraries.try_emplace({exec.cuda_device(), exec.cuda_stream()}, exec).first->second;
}

}  // namespace attn::linalg::detail
