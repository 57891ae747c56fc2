// An activation of your own as an operator of PyTorch: forward and backward, for float32, float64 and bfloat16, on
// hosts and on CUDA. Tensors are read where they lie, whatever their strides. attn_torch.py tells autograd and
// torch.compile.
#include "attn/attention/attention.hpp"

#include <Kokkos_Core.hpp>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <cstdlib>
#include <mutex>
#include <tuple>

#if defined(ATTN_TORCH_CUDA)
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace {

/// w = max(s, 0)^2 / n_keys. Write yours here: nothing below depends on it.
struct SquaredRelu {
  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row row) const {
    T const positive = attn::max(score, T(0));
    return positive * positive / T(row.n_keys);
  }
};
using Activation = SquaredRelu;

/// What attention keeps for its backward pass.
template <class T, class Memory>
using SavedFor = attn::Saved<Activation, attn::AccumulatorOf<T>, Memory>;

/// Kokkos starts with the first call, with as many threads as PyTorch has then, and ends with the process.
void start_kokkos() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (Kokkos::is_initialized()) return;
    Kokkos::initialize(
        Kokkos::InitializationSettings().set_num_threads(at::get_num_threads()).set_disable_warnings(true));
    std::atexit([] { Kokkos::finalize(); });
  });
}

/// call(exec, number of the tensors' type), where the tensors lie. Instances are not shared between threads.
template <class Call>
void dispatch(at::Tensor const& like, Call const& call) {
  static std::mutex mutex;
  std::lock_guard<std::mutex> const lock(mutex);
  start_kokkos();
  auto const with = [&](auto const& exec) {
    switch (like.scalar_type()) {
      case at::kFloat:
        return call(exec, float());
      case at::kDouble:
        return call(exec, double());
      case at::kBFloat16:
        return call(exec, attn::BFloat16());
      default:
        TORCH_CHECK(false, "attention: give float32, float64 or bfloat16, got ", like.scalar_type());
    }
  };
#if defined(ATTN_TORCH_CUDA)
  if (like.is_cuda()) {
    c10::cuda::CUDAGuard const guard(like.device());
    return with(Kokkos::Cuda(c10::cuda::getCurrentCUDAStream(like.device().index()).stream()));
  }
#endif
  TORCH_CHECK(like.is_cpu(), "attention: give tensors of the host; this library was built without CUDA");
  with(Kokkos::DefaultHostExecutionSpace());
}

/// A tensor (B, H, N, D) of PyTorch as one of attn: no copy.
template <class T, class Exec>
attn::Tensor<T, 4, typename Exec::memory_space> view(Exec const&, at::Tensor const& x) {
  attn::Extents<4> extents{}, strides{};
  for (int r = 0; r < 4; ++r) {
    extents[r] = x.size(r);
    strides[r] = x.stride(r);
  }
  strides[3] = 1;  // as it is, unless there is one number
  return {static_cast<T*>(x.data_ptr()), extents, strides};
}

/// What attn reads: any strides with a unit last one, which hardly a tensor lacks.
at::Tensor readable(at::Tensor const& x) { return x.size(3) <= 1 || x.stride(3) == 1 ? x : x.contiguous(); }

void check(at::Tensor const& q, at::Tensor const& other) {
  TORCH_CHECK(q.dim() == 4 && other.dim() == 4, "attention: give (batch, heads, tokens, width)");
  TORCH_CHECK(q.scalar_type() == other.scalar_type() && q.device() == other.device(),
              "attention: give tensors of one type on one device");
}

/// q (B, H, N, D), k (B, H, M, D), v (B, H, M, E) -> out (B, H, N, E), and what backward wants, (B, H, N, bytes).
std::tuple<at::Tensor, at::Tensor> attention(at::Tensor const& q, at::Tensor const& k, at::Tensor const& v,
                                             double score_scale) {
  check(q, k), check(q, v);
  at::Tensor const q_ = readable(q), k_ = readable(k), v_ = readable(v);
  at::Tensor const out = at::empty({q.size(0), q.size(1), q.size(2), v.size(3)}, q.options());
  at::Tensor saved;
  dispatch(q, [&]<class Exec, class T>(Exec const& exec, T) {
    using Saved = SavedFor<T, typename Exec::memory_space>;
    saved = at::empty({q.size(0), q.size(1), q.size(2), Saved::bytes(1, 1, 1)}, q.options().dtype(at::kByte));
    attn::attention(exec, Activation{}, view<T const>(exec, q_), view<T const>(exec, k_), view<T const>(exec, v_),
                    view<T>(exec, out),
                    Saved(static_cast<std::byte*>(saved.data_ptr()), q.size(0), q.size(1), q.size(2)),
                    attn::AttentionOptions<>{.score_scale = score_scale});
  });
  return {out, saved};
}

/// The gradients of q, k and v.
std::tuple<at::Tensor, at::Tensor, at::Tensor> attention_backward(at::Tensor const& d_out, at::Tensor const& q,
                                                                  at::Tensor const& k, at::Tensor const& v,
                                                                  at::Tensor const& out, at::Tensor const& saved,
                                                                  double score_scale) {
  at::Tensor const q_ = readable(q), k_ = readable(k), v_ = readable(v), d_out_ = readable(d_out);
  at::Tensor const d_q = at::empty(q.sizes(), q.options()), d_k = at::empty(k.sizes(), q.options()),
                   d_v = at::empty(v.sizes(), q.options());
  dispatch(q, [&]<class Exec, class T>(Exec const& exec, T) {
    using Saved = SavedFor<T, typename Exec::memory_space>;
    attn::attention_backward(exec, Activation{}, view<T const>(exec, q_), view<T const>(exec, k_),
                             view<T const>(exec, v_), view<T const>(exec, out),
                             Saved(static_cast<std::byte*>(saved.data_ptr()), q.size(0), q.size(1), q.size(2)),
                             view<T const>(exec, d_out_), view<T>(exec, d_q), view<T>(exec, d_k), view<T>(exec, d_v),
                             attn::AttentionOptions<>{.score_scale = score_scale});
  });
  return {d_q, d_k, d_v};
}

/// Bytes that attention keeps of a row: what torch.compile must know without calling it.
std::int64_t row_bytes(at::ScalarType type, bool cuda) {
#if defined(ATTN_TORCH_CUDA)
  if (cuda) {
    return type == at::kDouble ? SavedFor<double, Kokkos::CudaSpace>::bytes(1, 1, 1)
                               : SavedFor<float, Kokkos::CudaSpace>::bytes(1, 1, 1);
  }
#endif
  (void)cuda;
  return type == at::kDouble ? SavedFor<double, Kokkos::HostSpace>::bytes(1, 1, 1)
                             : SavedFor<float, Kokkos::HostSpace>::bytes(1, 1, 1);
}

}  // namespace

TORCH_LIBRARY(attn_own, library) {
  library.def("attention(Tensor q, Tensor k, Tensor v, float score_scale) -> (Tensor, Tensor)");
  library.def(
      "attention_backward(Tensor d_out, Tensor q, Tensor k, Tensor v, Tensor out, Tensor saved, float score_scale)"
      " -> (Tensor, Tensor, Tensor)");
  library.def("row_bytes(ScalarType type, bool cuda) -> int", &row_bytes);
}
TORCH_LIBRARY_IMPL(attn_own, CPU, library) {
  library.impl("attention", &attention);
  library.impl("attention_backward", &attention_backward);
}
#if defined(ATTN_TORCH_CUDA)
TORCH_LIBRARY_IMPL(attn_own, CUDA, library) {
  library.impl("attention", &attention);
  library.impl("attention_backward", &attention_backward);
}
#endif
