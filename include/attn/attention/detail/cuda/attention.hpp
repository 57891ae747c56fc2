/// Attention by tensor cores, forward and backward; where they do not serve, by the portable kernels.
#pragma once

#include "attn/attention/detail/cuda/launch.hpp"
#include "attn/attention/detail/hopper/launch.hpp"
#include "attn/attention/detail/team/attention.hpp"
#include "attn/attention/saved.hpp"

namespace attn::detail::cuda {

/// Whether all tensors hold the same kind of number, one that tensor cores take, in memory of the device.
template <class First, class... Others>
inline constexpr bool are_of_one_kind =
    has_format<typename First::Scalar>&& std::same_as<typename First::MemorySpace, Kokkos::CudaSpace> &&
    (std::same_as<typename First::Scalar, typename Others::Scalar> && ...) &&
    (std::same_as<typename First::MemorySpace, typename Others::MemorySpace> && ...);

template <class X>
using Input = Tensor<typename X::Scalar const, 4, typename X::MemorySpace>;
template <class X>
using Output = Tensor<typename X::Scalar, 4, typename X::MemorySpace>;

/// The most shared memory that one of the kernels for rows of this width wants: those of the backward pass.
template <Format F, int width>
inline constexpr unsigned most_shared_bytes = [] {
  auto const bytes = [](auto cut) {
    constexpr unsigned row_bytes = width * element_bytes<F>;
    return (2 * cut.own + 4 * cut.streamed) * row_bytes + 16 * 1024 / 4;  // and facts of rows
  };
  unsigned const of_queries = bytes(BackwardCut<F, width, Part::queries, Length::any>());
  unsigned const of_keys = bytes(BackwardCut<F, width, Part::keys_and_values, Length::any>());
  return of_queries > of_keys ? of_queries : of_keys;
}();

/// Calls work(width) if tensor cores serve rows of these widths on this device; says whether they do.
template <Format F, class Work>
bool with_tensor_cores(Kokkos::Cuda const& exec, Index width, Index value_width, Work const& work) {
  if (width == 0 || value_width == 0) return false;
  bool serves = false;
  with_width(width > value_width ? width : value_width, [&](auto w) {
    serves = has_tensor_cores(exec, most_shared_bytes<F, w()>);
    if (serves) work(w);
  });
  return serves;
}

/// Whether kernels for Hopper serve a call that tensor cores serve.
template <Format F, int width, class... Tensors>
bool takes_hopper([[maybe_unused]] Kokkos::Cuda const& exec, [[maybe_unused]] Tensors const&... tensors) {
#if defined(ATTN_CUDA_HOPPER)
  return serves_hopper<F, width>(tensors...) && has_wgmma(exec);
#else
  return false;
#endif
}

/// The name of the kernel for a forward pass; empty where tensor cores do not serve it.
template <Format F, class Q, class K, class V, class O>
std::string serving_kernel(Kokkos::Cuda const& exec, Q const& q, K const& k, V const& v, O const& out) {
  std::string name;
  with_tensor_cores<F>(exec, q.extent(3), v.extent(3), [&](auto w) {
    name = kernel_name("attention", F, w(), takes_hopper<F, w()>(exec, q, k, v, out) ? hopper_cores : "tensor cores");
  });
  return name;
}

template <class Saved>
float* saved_facts(Saved const& saved) {
  if constexpr (requires { saved.row_facts(); }) {
    return saved.row_facts();
  } else {
    return nullptr;
  }
}

template <Part part>
using PartConstant = std::integral_constant<Part, part>;

#if defined(__CUDACC__)

/// See `attention`; false where tensor cores do not serve.
template <class A, class Q, class K, class V, class O, class Saved, class Options>
bool forward(Kokkos::Cuda const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out, Saved const& saved,
             Options const& options) {
  constexpr Format F = format_for<typename O::Scalar, typename Options::Products>;
  return with_tensor_cores<F>(exec, q.extent(3), v.extent(3), [&](auto width) {
    float const score_scale = reference::detail::score_scale<float>(options, q.extent(3));
#if defined(ATTN_CUDA_HOPPER)
    if constexpr (has_hopper_kernel<F, width()>) {
      if (takes_hopper<F, width()>(exec, q, k, v, out)) {
        static std::string const name = kernel_name("attention", F, width(), hopper_cores);
        ProfilingRegion const region(name);
        return forward_on_hopper<F, width()>(exec, a, Input<Q>(q), Input<K>(k), Input<V>(v), Output<O>(out),
                                             saved_rows(saved), options.mask, score_scale);
      }
    }
#endif
    static std::string const name = kernel_name("attention", F, width());
    ProfilingRegion const region(name);
    bool const aligned = has_aligned_rows(q) && has_aligned_rows(k) && has_aligned_rows(v) && has_aligned_rows(out);
    with_length(q.extent(2), k.extent(2), [&](auto length) {
      using Kernel = Forward<F, width(), ForwardCut<F, width(), length()>, A, Input<Q>, Input<K>, Input<V>, Output<O>,
                             decltype(options.mask)>;
      launch(exec, Kernel{a, q, k, v, out, saved_rows(saved), options.mask, score_scale, aligned});
    });
  });
}

/// See `attention_backward`; false where tensor cores do not serve.
template <class A, class Q, class K, class V, class O, class Saved, class DO, class DQ, class DK, class DV,
          class Options>
bool backward(Kokkos::Cuda const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
              Saved const& saved, DO const& d_out, DQ const& d_q, DK const& d_k, DV const& d_v,
              Options const& options) {
  constexpr Format F = format_for<typename O::Scalar, typename Options::Products>;
  return with_tensor_cores<F>(exec, q.extent(3), v.extent(3), [&](auto width) {
    using Inputs = TeamBackwardInputs<A, Input<Q>, Input<K>, Input<V>, Input<O>, Input<DO>, decltype(options.mask),
                                      NoBias, StatsOf<A, float>, float>;
    Inputs const inputs{a,
                        q,
                        k,
                        v,
                        out,
                        d_out,
                        saved_rows(saved),
                        options.mask,
                        NoBias(),
                        reference::detail::score_scale<float>(options, q.extent(3))};
    float* const parts = parameter_parts<float>(a, saved, out.size() == 0);
    float* const row_facts = saved_facts(saved);
#if defined(ATTN_CUDA_HOPPER)
    if constexpr (has_hopper_backward<F, width()>) {
      if (takes_hopper<F, width()>(exec, q, k, v, d_out, d_q, d_k, d_v)) {
        static std::string const name = kernel_name("attention_backward", F, width(), hopper_cores);
        ProfilingRegion const region(name);
        backward_on_hopper<F, width()>(exec, inputs, row_facts, parts, Output<DQ>(d_q), Output<DK>(d_k),
                                       Output<DV>(d_v));
        return add_parameter_parts<float>(exec, a, parts, out, tiles_of(q.extent(2), hopper_part));
      }
    }
#endif
    static std::string const name = kernel_name("attention_backward", F, width());
    ProfilingRegion const region(name);
    bool const aligned = has_aligned_rows(q) && has_aligned_rows(k) && has_aligned_rows(v) && has_aligned_rows(d_out) &&
                         has_aligned_rows(d_q) && has_aligned_rows(d_k) && has_aligned_rows(d_v);
    auto const gradient = [&](auto part, Index own, Index streamed, auto const& first, auto const& second) {
      int own_rows = 0;
      with_length(own, streamed, [&](auto length) {
        using Cut = BackwardCut<F, width(), part(), length()>;
        using Kernel = Gradient<F, width(), Cut, part(), Inputs, Output<DQ>, Output<DV>>;
        launch(exec, Kernel{{inputs, row_facts, parts}, first, second, aligned});
        own_rows = Cut::own;
      });
      return own_rows;
    };
    Index const n = q.extent(2), m = k.extent(2);
    int const tile = gradient(PartConstant<Part::queries>(), n, m, d_q, d_v);
    if constexpr (joins_keys_and_values<width()>) {
      gradient(PartConstant<Part::keys_and_values>(), m, n, d_k, d_v);
    } else {
      gradient(PartConstant<Part::keys>(), m, n, d_k, d_v);
      gradient(PartConstant<Part::values>(), m, n, d_k, d_v);
    }
    add_parameter_parts<float>(exec, a, parts, out, tiles_of(n, tile));
  });
}

#endif

}  // namespace attn::detail::cuda
