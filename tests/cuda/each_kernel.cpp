// On a GPU: a small call, forward and backward, of each kernel of attention. They are for compute-sanitizer, under
// which a kernel takes a hundred times as long; that results are right is for differential.hpp.
#include "attn/activation/activation.hpp"
#include "attn/attention/attention.hpp"
#include "attn/attention/describe.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "views.hpp"

namespace attn_cuda {
namespace each_kernel {

using attn::Index;
using Exec = Kokkos::Cuda;
using Memory = Exec::memory_space;

template <class X>
bool all_finite(View<X> const& x) {
  auto const numbers = on_host(x);
  return std::all_of(numbers.begin(), numbers.end(), [](double number) { return std::isfinite(number); });
}

/// Two sequences of four heads, of which two share keys.
template <class X, class A, class Options>
void expect_finite(A const& a, Options const& options, Index queries, Index keys) {
  constexpr Index width = 64;
  Exec const exec;
  auto const q = normal_view<X>(4, queries, width, 1), d_out = normal_view<X>(4, queries, width, 2);
  auto const k = normal_view<X>(2, keys, width, 3), v = normal_view<X>(2, keys, width, 4);
  View<X> const out("out", 2, 4, queries, width), d_q("d_q", 2, 4, queries, width), d_k("d_k", 2, 2, keys, width),
      d_v("d_v", 2, 2, keys, width);
  SCOPED_TRACE(attn::describe(exec, a, q, k, v, out, options));
  auto const saved = attn::attention(exec, a, q, k, v, out, options);
  attn::attention_backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
  exec.fence();
  for (View<X> const& x : {out, d_q, d_k, d_v}) EXPECT_TRUE(all_finite(x));
}

/// Kernels for few tokens, for some and for many.
template <class X, class A, class Options = attn::AttentionOptions<attn::Causal>>
void expect_finite_at_all_lengths(A const& a, Options const& options = {}) {
  for (Index const tokens : {5, 49, 333}) expect_finite<X>(a, options, tokens, tokens);
}

using Bf16 = Kokkos::Experimental::bhalf_t;
using Fp16 = Kokkos::Experimental::half_t;

TEST(EachKernel, WritesFiniteNumbers_InEveryFormat) {
  expect_finite_at_all_lengths<Bf16>(attn::Softmax{});
  expect_finite_at_all_lengths<Fp16>(attn::Softmax{});
  expect_finite_at_all_lengths<float>(attn::Softmax{});
  expect_finite_at_all_lengths<float>(attn::Softmax{},
                                      attn::AttentionOptions<attn::Causal, attn::NoNorms, attn::Tf32Products>{});
  expect_finite_at_all_lengths<double>(attn::Softmax{});  // by the portable kernels
}

TEST(EachKernel, WritesFiniteNumbers_WithoutAMask) {
  expect_finite_at_all_lengths<Bf16>(attn::Softmax{}, attn::AttentionOptions<>{});
}

TEST(EachKernel, WritesFiniteNumbers_ForATrainedScale) {
  Kokkos::View<float*, Memory> const scale("scale", 1), d_scale("d_scale", 1);
  Kokkos::deep_copy(scale, 0.3f);
  expect_finite_at_all_lengths<Bf16>(attn::Poly<3, attn::DynamicScale>{{scale.data(), d_scale.data()}});
  Kokkos::fence();
  EXPECT_TRUE(std::isfinite(Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), d_scale)(0)));
}

TEST(EachKernel, WritesFiniteNumbers_ByOneLaunchAndByTwo) {
  using attn::detail::cuda::backward_launches, attn::detail::cuda::BackwardLaunches;
  for (auto const launches : {BackwardLaunches::one, BackwardLaunches::two}) {
    backward_launches = launches;
    expect_finite<Bf16>(attn::Softmax{}, attn::AttentionOptions<attn::Causal>{}, 333, 333);
  }
  backward_launches = BackwardLaunches::by_model;
}

TEST(EachKernel, WritesFiniteNumbers_OfManyTokensByTensorCoresOfAllGenerations) {
  attn::detail::cuda::uses_warpgroups = false;
  expect_finite<Bf16>(attn::Softmax{}, attn::AttentionOptions<attn::Causal>{}, 333, 333);
  attn::detail::cuda::uses_warpgroups = true;
}

TEST(EachKernel, WritesFiniteNumbers_WithDropout) {
  expect_finite_at_all_lengths<Bf16>(attn::Softmax{},
                                     attn::with_dropout(attn::AttentionOptions<attn::Causal>{},
                                                        attn::AttentionDropout{.rate = 0.1, .key = {.seed = 2}}));
}

TEST(EachKernel, WritesFiniteNumbers_WithABias) {
  for (Index const tokens : {49, 333}) {
    auto const values = normal_view<float>(4, tokens, tokens, 5), gradient = normal_view<float>(4, tokens, tokens, 6);
    expect_finite<Bf16>(
        attn::Softmax{},
        attn::with_bias(attn::AttentionOptions<attn::Causal>{}, attn::ScoreBias<float, Memory>{values, gradient}),
        tokens, tokens);
    EXPECT_TRUE(all_finite(gradient));
  }
}

TEST(EachKernel, WritesFiniteNumbers_ForFewQueriesOfManyKeys) {
  expect_finite<Bf16>(attn::Softmax{}, attn::AttentionOptions<>{}, 1, 3000);
  expect_finite<Bf16>(attn::Softmax{}, attn::AttentionOptions<>{}, 5, 3000);
}

TEST(EachKernel, WritesFiniteNorms) {
  Kokkos::View<float**, Kokkos::LayoutRight, Memory> const frobenius("frobenius", 2, 4), jacobian("jacobian", 2, 4);
  attn::AttentionOptions<attn::Full, attn::AttentionNorms<float, Memory>> const options{.norms = {frobenius, jacobian}};
  for (Index const tokens : {49, 333}) {  // by two teams a head, and by eleven
    expect_finite<float>(attn::Softmax{}, options, tokens, tokens);
    for (auto const& norms : {frobenius, jacobian}) {
      auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), norms);
      for (std::size_t i = 0; i < host.size(); ++i) EXPECT_TRUE(std::isfinite(host.data()[i]));
    }
  }
}

}  // namespace each_kernel
}  // namespace attn_cuda
