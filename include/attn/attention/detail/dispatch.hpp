/// From a call of attention to the kernel that serves it: what detail/choose.hpp has to know of the call, the region
/// that Kokkos' profiling tools see, and the launch.
#pragma once

#include "attn/attention/detail/choose.hpp"
#include "attn/attention/detail/host/backward.hpp"
#include "attn/attention/detail/host/forward.hpp"
#include "attn/attention/detail/host/jets_backward.hpp"
#include "attn/attention/detail/linear/call.hpp"
#include "attn/attention/detail/team/attention.hpp"
#include "attn/attention/saved.hpp"

#if defined(KOKKOS_ENABLE_CUDA)
#include "attn/attention/detail/cuda/attention.hpp"
#endif

namespace attn::detail {

/// What types alone say of a call. `Others`: the types of the tensors beside `out`. Tensor cores may serve then: widths
/// and the device decide when the call is made.
template <class Exec, class A, class Options, class O, class... Others>
constexpr CallTraits traits_of_types() {
  using Stored = std::remove_const_t<typename O::Scalar>;
  using T = AccumulatorOf<Stored>;
  CallTraits t{.on_host = HostExecutionSpace<Exec>,
               .has_packs = attn::has_packs,
               .is_jet = AnyJet<Stored>,
               .wants_norms = attn::detail::wants_norms<decltype(Options::norms)>,
               .has_bias = !std::same_as<decltype(Options::bias), NoBias>};
  if constexpr (attn::has_packs && Real<T>) {
    t.takes_packs = Activation<A, Pack<T>>;
    if constexpr (Activation<A, Pack<T>>) t.sums_give_norms = NormsFollowFromSums<A, Pack<T>>;
  }
#if defined(KOKKOS_ENABLE_CUDA)
  if constexpr (std::same_as<Exec, Kokkos::Cuda>) {
    // Numbers of a row-normalised activation that are trained or depend on the row are the portable kernels' business.
    constexpr bool is_plain = !RowActivation<A, T> || (std::same_as<OfRow<A>, A> && !LearnableActivation<A, T>);
    t.has_tensor_cores = is_plain && cuda::are_of_one_kind<O, Others...>;
  }
#endif
  return t;
}

/// The kernel as far as types choose it: host_linear and host_short_sequences may take the place of host, hopper or
/// team that of tensor_cores.
template <Pass pass, class Exec, class A, class Options, class O, class... Others>
inline constexpr AttentionKernel kernel_by_types = choose(pass, traits_of_types<Exec, A, Options, O, Others...>());

/// Of the packed host kernels: "attn::attention (host, 8 keys x 3 x 16 queries, fp32)".
template <class T>
std::string host_region_name(Pass pass, AttentionKernel kernel) {
  std::string const lanes = std::to_string(host::pack_width<T>);
  std::string const blocks = kernel == AttentionKernel::host_short_sequences
                                 ? "short sequences in " + lanes + " lanes"
                                 : std::to_string(host::block_rows(host::query_packs)) + " keys x " +
                                       std::to_string(host::query_packs) + " x " + lanes + " queries";
  return region_name(pass, "host, " + blocks + ", " + (sizeof(T) == 4 ? "fp32" : "fp64"));
}

/// Whether kernels of devices, where a dropout costs registers, are compiled twice for a call: with it and without.
template <class Exec, class Options>
inline constexpr bool leaves_out_dropout = !HostExecutionSpace<Exec> && drops_weights<decltype(Options::dropout)>;

/// The kernel that serves a call, and the name of its region.
struct Choice {
  AttentionKernel kernel;
  std::string const& region;
};

/// For q, k, v and out, and in a backward pass `others`: d_out, d_q, d_k, d_v.
template <Pass pass, class A, class Exec, class Options, class Q, class K, class V, class O, class... Others>
Choice choice_of([[maybe_unused]] Exec const& exec, [[maybe_unused]] A const& a, Options const& options,
                 [[maybe_unused]] Q const& q, [[maybe_unused]] K const& k, [[maybe_unused]] V const& v,
                 [[maybe_unused]] O const& out, [[maybe_unused]] Others const&... others) {
  if constexpr (leaves_out_dropout<Exec, Options>) {
    if (!options.dropout.is_on()) {
      return choice_of<pass>(exec, a, with_dropout(options, NoDropout()), q, k, v, out, others...);
    }
  }
  constexpr CallTraits types = traits_of_types<Exec, A, Options, O, Q, K, V, Others...>();
  constexpr AttentionKernel by_types = choose(pass, types);
  constexpr bool may_be_linear = linear::may_serve<pass, Exec, A, Options, typename O::Scalar, Q, K, V, O, Others...>();
  ATTN_CHECK(
      (may_be_linear && !options.dropout.is_on()) || options.path != AttentionPath::linear,
      "attention: take the linear path on hosts, in fp32 or fp64, with an activation that states its polynomial, "
      "a mask that is Full, Causal, KeyPadding or Both of them, without bias, norms and dropout; got another call");
  if constexpr (is_packed_host(by_types)) {
    using T = AccumulatorOf<typename O::Scalar>;
    static std::string const blocks = host_region_name<T>(pass, AttentionKernel::host),
                             lanes = host_region_name<T>(pass, AttentionKernel::host_short_sequences);
    CallTraits t = types;
    host::Shape const shape(q, k, v);
    t.is_short = host::are_short<T>(shape);
    t.drops = options.dropout.is_on();
    if constexpr (may_be_linear) t.is_linear = linear::serves<T>(pass, a, options, shape);
    AttentionKernel const kernel = choose(pass, t);
    if constexpr (may_be_linear) {
      static std::string const sums = linear::region_of<T>(pass);
      if (kernel == AttentionKernel::host_linear) return {kernel, sums};
    }
    return {kernel, kernel == AttentionKernel::host ? blocks : lanes};
  } else if constexpr (by_types == AttentionKernel::host_jets) {
    static std::string const name = region_name(pass, "host, jets");
    return {by_types, name};
  } else {
#if defined(KOKKOS_ENABLE_CUDA)
    if constexpr (uses_tensor_cores(by_types)) {
      constexpr cuda::Format F = cuda::format_for<typename O::Scalar, typename Options::Products>;
      CallTraits const t = cuda::with_device_traits<F, pass, A, Options>(types, exec, q, k, v, out, others...);
      AttentionKernel const kernel = choose(pass, t);
      if (uses_tensor_cores(kernel)) {
        bool const in_parts = pass == Pass::forward && cuda::forward_plan_of<F, A, Options>(exec, q, k, v).parts > 1;
        return {kernel, cuda::region_of<F, pass>(kernel, std::max(q.extent(3), v.extent(3)), in_parts)};
      }
    }
#endif
    static std::string const name = region_name(pass, "team");
    return {AttentionKernel::team, name};
  }
}

template <class Exec, class A, class Q, class K, class V, class O, class Saved, class Options>
void attention_forward(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                       Saved const& saved, Options const& options) {
  if constexpr (leaves_out_dropout<Exec, Options>) {
    if (!options.dropout.is_on()) {
      return attention_forward(exec, a, q, k, v, out, saved, with_dropout(options, NoDropout()));
    }
  }
  constexpr AttentionKernel by_types = kernel_by_types<Pass::forward, Exec, A, Options, O, Q, K, V>;
  Choice const choice = choice_of<Pass::forward>(exec, a, options, q, k, v, out);
  ProfilingRegion const region(choice.region);
  if constexpr (is_packed_host(by_types)) {
    using T = AccumulatorOf<typename O::Scalar>;
    auto const quadratic = [&](auto const& its_options) {
      using Block = host::ForwardBlock<T, A, Q, K, V, O, Saved, std::remove_cvref_t<decltype(its_options)>>;
      host::Forward<T, Block>{Block{a, q, k, v, out, saved, its_options}}.run(choice.kernel, choice.region, exec);
    };
    if constexpr (linear::may_serve<Pass::forward, Exec, A, Options, typename O::Scalar, Q, K, V, O>()) {
      bool const is_linear = choice.kernel == AttentionKernel::host_linear;
      if (!is_linear || !shows_all_the_same<decltype(Options::mask)>) {
        quadratic(linear::quadratic_options<T>(options, is_linear));
      }
      if (is_linear) linear::forward(choice.region, exec, a, q, k, v, out, options);
    } else {
      quadratic(options);
    }
  } else if constexpr (by_types == AttentionKernel::host_jets) {
    host::jets_forward(choice.region, exec, a, q, k, v, out, options);
  } else {
#if defined(__CUDACC__) && defined(KOKKOS_ENABLE_CUDA)
    if constexpr (uses_tensor_cores(by_types)) {
      if (uses_tensor_cores(choice.kernel)) {
        cuda::forward(choice.kernel, exec, a, q, k, v, out, saved, options);
        return team_attention_norms(exec, a, q, k, saved, options);
      }
    }
#endif
    team_attention_forward(exec, a, q, k, v, out, saved, options);
  }
}

template <class Exec, class A, class Q, class K, class V, class O, class Saved, class DO, class DQ, class DK, class DV,
          class Options>
void attention_gradients(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                         Saved const& saved, DO const& d_out, DQ const& d_q, DK const& d_k, DV const& d_v,
                         Options const& options) {
  if constexpr (leaves_out_dropout<Exec, Options>) {
    if (!options.dropout.is_on()) {
      return attention_gradients(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v,
                                 with_dropout(options, NoDropout()));
    }
  }
  constexpr AttentionKernel by_types = kernel_by_types<Pass::backward, Exec, A, Options, O, Q, K, V, DO, DQ, DK, DV>;
  Choice const choice = choice_of<Pass::backward>(exec, a, options, q, k, v, out, d_out, d_q, d_k, d_v);
  ProfilingRegion const region(choice.region);
  if constexpr (is_packed_host(by_types)) {
    using T = AccumulatorOf<typename O::Scalar>;
    auto const quadratic = [&](auto const& its_options) {
      using Its = std::remove_cvref_t<decltype(its_options)>;
      using Block = host::BackwardBlock<T, A, Q, K, V, O, Saved, DO, DQ, DK, DV, Its>;
      host::Backward<T, Block>{Block{a, q, k, v, out, saved, d_out, d_q, d_k, d_v, its_options}}.run(
          choice.kernel, choice.region, exec);
    };
    if constexpr (linear::may_serve<Pass::backward, Exec, A, Options, typename O::Scalar, Q, K, V, O, DO, DQ, DK,
                                    DV>()) {
      bool const is_linear = choice.kernel == AttentionKernel::host_linear;
      if (!is_linear || !shows_all_the_same<decltype(Options::mask)>) {
        quadratic(linear::quadratic_options<T>(options, is_linear));
      }
      if (is_linear) linear::backward(choice.region, exec, a, q, k, v, d_out, d_q, d_k, d_v, options);
    } else {
      quadratic(options);
    }
  } else if constexpr (by_types == AttentionKernel::host_jets) {
    host::jets_backward(choice.region, exec, a, q, k, v, d_out, d_q, d_k, d_v, options);
  } else {
#if defined(__CUDACC__) && defined(KOKKOS_ENABLE_CUDA)
    if constexpr (uses_tensor_cores(by_types)) {
      if (uses_tensor_cores(choice.kernel)) {
        return cuda::backward(choice.kernel, exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
      }
    }
#endif
    team_attention_backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
  }
}

}  // namespace attn::detail
