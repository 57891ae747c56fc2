/// Attention by tensor cores, forward and backward: whether they serve, and the launches.
#pragma once

#include "attn/attention/detail/choose.hpp"
#include "attn/attention/detail/cuda/forward_plan.hpp"
#include "attn/attention/detail/hopper/launch.hpp"
#include "attn/attention/detail/team/attention.hpp"
#include "attn/attention/saved.hpp"

namespace attn::detail::cuda {

/// For tests and benchmarks that compare Hopper's kernels with those of all generations, which serve if this is false.
inline bool uses_warpgroups = true;

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
  constexpr unsigned row_bytes = width * element_bytes<F>;
  auto const bytes = [](auto cut) {
    return (2 * cut.own + 4 * cut.streamed) * row_bytes + 16 * 1024 / 4;  // and facts of rows
  };
  using OfBias = BiasTileShape<F, width>;
  return std::max({bytes(BackwardTileShape<F, width, Part::queries, Length::any>()),
                   bytes(BackwardTileShape<F, width, Part::keys_and_values, Length::any>()),
                   4 * (OfBias::own + OfBias::streamed) * row_bytes});
}();

/// How kernels by mma.sync would cut the forward pass of a call.
template <Format F, class A, class Options, class Q, class K, class V>
ForwardPlan forward_plan_of(Kokkos::Cuda const& exec, Q const& q, K const& k, V const& v) {
  ForwardPlan plan;
  with_width(std::max(q.extent(3), v.extent(3)), [&](auto width) {
    plan = forward_plan<F, width(), A, Options>(exec.cuda_device_prop().multiProcessorCount, q, k, v);
  });
  return plan;
}

/// `types` with what sizes and the device say: of q, k, v and out, and in a backward pass of `others`, its other
/// tensors. A kernel of a backward pass reads `out` as it lies, and so without TMA.
template <Format F, Pass pass, class A, class Options, class Q, class K, class V, class O, class... Others>
CallTraits with_device_traits(CallTraits types, Kokkos::Cuda const& exec, Q const& q, K const& k, V const& v,
                              [[maybe_unused]] O const& out, [[maybe_unused]] Others const&... others) {
  CallTraits t = types;
  Index const width = q.extent(3), value_width = v.extent(3);
  t.has_tensor_cores = false;
  if (width == 0 || value_width == 0) return t;
  with_width(std::max(width, value_width), [&](auto w) {
    t.has_tensor_cores = types.has_tensor_cores && has_tensor_cores(exec, most_shared_bytes<F, w()>);
#if defined(ATTN_CUDA_HOPPER)
    if constexpr (pass == Pass::forward) {
      // Tiles for less than a quarter of the multiprocessors: many blocks are worth more than fast ones.
      t.has_warpgroups =
          uses_warpgroups && has_wgmma(exec) && serves_hopper<F, pass, w()>(q, k, v, out) &&
          forward_plan<F, w(), A, Options>(exec.cuda_device_prop().multiProcessorCount, q, k, v).parts < 4;
    } else {
      t.has_warpgroups = uses_warpgroups && has_wgmma(exec) && serves_hopper<F, pass, w()>(q, k, v, others...);
    }
#endif
  });
  return t;
}

/// The name of the region of a kernel for rows of `columns`, whose keys may go to several blocks.
template <Format F, Pass pass>
std::string const& region_of(AttentionKernel kernel, Index columns, bool in_parts) {
  std::string const* name = nullptr;
  with_width(columns, [&](auto w) {
    static std::string const cores = cores_name("tensor cores", F, w()), tiles = region_name(pass, cores),
                             parts = region_name(pass, cores + ", keys in parts"),
                             warpgroups = region_name(pass, cores_name("Hopper's tensor cores", F, hopper_width<w()>));
    name = kernel == AttentionKernel::hopper ? &warpgroups : (in_parts ? &parts : &tiles);
  });
  return *name;
}

template <class Saved>
float* saved_facts(Saved const& saved) {
  if constexpr (requires { saved.row_facts(); }) {
    return saved.row_facts();
  } else {
    return nullptr;
  }
}

#if defined(__CUDACC__)

/// See `attention`, by the kernel that was chosen.
template <class A, class Q, class K, class V, class O, class Saved, class Options>
void forward([[maybe_unused]] AttentionKernel kernel, Kokkos::Cuda const& exec, A const& a, Q const& q, K const& k,
             V const& v, O const& out, Saved const& saved, Options const& options) {
  constexpr Format F = format_for<typename O::Scalar, typename Options::Products>;
  with_width(std::max(q.extent(3), v.extent(3)), [&](auto width) {
    float const score_scale = reference::detail::score_scale<float>(options, q.extent(3));
#if defined(ATTN_CUDA_HOPPER)
    if constexpr (has_hopper_kernel<F, Pass::forward, width()> && !adds_bias<decltype(options.bias)>) {
      if (kernel == AttentionKernel::hopper) {
        return forward_on_hopper<F, hopper_width<width()>>(exec, a, Input<Q>(q), Input<K>(k), Input<V>(v),
                                                           Output<O>(out), saved_rows(saved), options.mask,
                                                           options.dropout, score_scale);
      }
    }
#endif
    bool const aligned = has_aligned_rows(q) && has_aligned_rows(k) && has_aligned_rows(v) && has_aligned_rows(out);
    using Stats = StatsOf<A, float>;
    ForwardPlan const plan = forward_plan<F, width(), A, Options>(exec.cuda_device_prop().multiProcessorCount, q, k, v);
    int const joined = plan.joined_heads;
    Index const rows = q.extent(0) * q.extent(1) * q.extent(2), columns = v.extent(3);
    RowParts<Stats> parts;
    if (plan.parts > 1) {
      LaunchMemory<Kokkos::Cuda> const memory(exec, RowParts<Stats>::bytes(rows, columns, plan.parts));
      parts = RowParts<Stats>::in(memory.data(), rows, columns, plan.parts);
    }
    with_length(plan.length, [&](auto length) {
      auto const mask = [&] {
        if constexpr (length() == Length::tiny) {
          return join_heads_of_mask(options.mask, joined);
        } else {
          return options.mask;
        }
      }();
      using Kernel =
          Forward<F, width(), ForwardTileShape<F, width(), length()>, A, Input<Q>, Input<K>, Input<V>, Output<O>,
                  std::remove_const_t<decltype(mask)>, decltype(options.dropout), decltype(options.bias)>;
      launch(exec, Kernel{a, join_heads(Input<Q>(q), joined), k, v, join_heads(Output<O>(out), joined),
                          saved_rows(saved), mask, score_scale, aligned, options.dropout, options.bias, joined, parts});
    });
    if (plan.parts > 1) {
      CombineParts<A, Output<O>, decltype(options.mask)> const combine{
          a, out, saved_rows(saved), options.mask, int(k.extent(2)), parts};
      attn::launch("attn::attention of parts (tensor cores)",
                   Kokkos::RangePolicy<Kokkos::Cuda, Kokkos::IndexType<Index>>(exec, 0, combine.size()), combine);
    }
  });
}

/// See `attention_backward`, by the kernel that was chosen.
template <class A, class Q, class K, class V, class O, class Saved, class DO, class DQ, class DK, class DV,
          class Options>
void backward([[maybe_unused]] AttentionKernel kernel, Kokkos::Cuda const& exec, A const& a, Q const& q, K const& k,
              V const& v, O const& out, Saved const& saved, DO const& d_out, DQ const& d_q, DK const& d_k,
              DV const& d_v, Options const& options) {
  constexpr Format F = format_for<typename O::Scalar, typename Options::Products>;
  using Bias = decltype(options.bias);
  with_width(std::max(q.extent(3), v.extent(3)), [&](auto width) {
    using Inputs = TeamBackwardInputs<A, Input<Q>, Input<K>, Input<V>, Input<O>, Input<DO>, decltype(options.mask),
                                      Bias, StatsOf<A, float>, float, decltype(options.dropout)>;
    Inputs const inputs{a,
                        q,
                        k,
                        v,
                        out,
                        d_out,
                        saved_rows(saved),
                        options.mask,
                        options.bias,
                        reference::detail::score_scale<float>(options, q.extent(3)),
                        options.dropout};
    float* const parts = parameter_parts<float>(a, saved, out.size() == 0);
    float* const row_facts = saved_facts(saved);
#if defined(ATTN_CUDA_HOPPER)
    if constexpr (has_hopper_kernel<F, Pass::backward, width()> && !adds_bias<Bias>) {
      if (kernel == AttentionKernel::hopper) {
        ParameterParts const place = backward_on_hopper<F, hopper_width<width()>>(
            exec, inputs, row_facts, parts, Output<DQ>(d_q), Output<DK>(d_k), Output<DV>(d_v));
        return add_parameter_parts<float>(exec, a, parts, out, place);
      }
    }
#endif
    bool const aligned = has_aligned_rows(q) && has_aligned_rows(k) && has_aligned_rows(v) && has_aligned_rows(d_out) &&
                         has_aligned_rows(d_q) && has_aligned_rows(d_k) && has_aligned_rows(d_v);
    auto const gradient = [&](auto part, Index own, Index streamed, auto const& first, auto const& second) {
      int own_rows = 0;
      with_length(length_of(own, streamed), [&](auto length) {
        using TileShape = BackwardTileShape<F, width(), part(), length()>;
        using Kernel = Gradient<F, width(), TileShape, part(), Inputs, Output<DQ>, Output<DV>>;
        launch(exec, Kernel{{inputs, row_facts, parts}, first, second, aligned});
        own_rows = TileShape::own;
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
    if constexpr (adds_bias<Bias>) {
      if (options.bias.gradient.data() != nullptr) {
        using DBias = decltype(options.bias.gradient);
        using Kernel = BiasGradient<F, width(), BiasTileShape<F, width()>, Inputs, DBias>;
        launch(exec, Kernel{{inputs, row_facts, nullptr}, options.bias.gradient, aligned});
      }
    }
    add_parameter_parts<float>(exec, a, parts, out, tiles_of(n, tile));
  });
}

#endif

}  // namespace attn::detail::cuda
