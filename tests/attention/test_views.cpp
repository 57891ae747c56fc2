// Views and tensors of any strides, used in place.
#include "attn/activation/activation.hpp"
#include "attn/attention/attention.hpp"
#include "attn/core/random.hpp"
#include "attn/testing/allclose.hpp"
#include "attn/testing/tolerance.hpp"

#include <gtest/gtest.h>

#include <type_traits>

namespace {

using attn::Index;
using attn::Tensor;
using attn::testing::allclose;
using attn::testing::same_bits;

using Exec = Kokkos::DefaultExecutionSpace;
using Memory = Exec::memory_space;
using View = Kokkos::View<float****, Kokkos::LayoutRight, Memory>;

constexpr int B = 2, H = 3, N = 37, M = 41, D = 8, E = 5;

template <class V>
V random_view(V const& view, std::uint64_t stream) {
  auto const host = Kokkos::create_mirror_view(view);
  for (std::size_t b = 0; b < host.extent(0); ++b) {
    for (std::size_t h = 0; h < host.extent(1); ++h) {
      for (std::size_t i = 0; i < host.extent(2); ++i) {
        for (std::size_t d = 0; d < host.extent(3); ++d) {
          host(b, h, i, d) = static_cast<typename V::non_const_value_type>(
              attn::normal<float>({.seed = 17, .stream = stream}, ((b * 64 + h) * 64 + i) * 64 + d));
        }
      }
    }
  }
  Kokkos::deep_copy(view, host);
  return view;
}

/// Contiguous inputs and what comes of them.
struct Contiguous {
  View q = random_view(View("q", B, H, N, D), 1), k = random_view(View("k", B, H, M, D), 2);
  View v = random_view(View("v", B, H, M, E), 3), d_out = random_view(View("d_out", B, H, N, E), 4);
  View out{"out", B, H, N, E}, d_q{"d_q", B, H, N, D}, d_k{"d_k", B, H, M, D}, d_v{"d_v", B, H, M, E};

  Contiguous() {
    Exec const exec;
    auto const saved = attn::attention(exec, attn::Softmax{}, q, k, v, out);
    attn::attention_backward(exec, attn::Softmax{}, q, k, v, out, saved, d_out, d_q, d_k, d_v);
    exec.fence();
  }
};

template <class Q, class K, class V, class O, class DO, class DQ, class DK, class DV>
void expect_same(Contiguous const& c, Q const& q, K const& k, V const& v, O const& out, DO const& d_out, DQ const& d_q,
                 DK const& d_k, DV const& d_v) {
  Exec const exec;
  auto const saved = attn::attention(exec, attn::Softmax{}, q, k, v, out);
  attn::attention_backward(exec, attn::Softmax{}, q, k, v, out, saved, d_out, d_q, d_k, d_v);
  exec.fence();
  auto const check = [](char const* name, auto const& got, auto const& want) {
    auto const verdict = same_bits(Tensor(got), Tensor(want));
    EXPECT_TRUE(verdict) << name << ": " << verdict.message();
  };
  check("out", out, c.out);
  check("d_q", d_q, c.d_q);
  check("d_k", d_k, c.d_k);
  check("d_v", d_v, c.d_v);
}

TEST(Views, OfKokkosAreTakenAsTheyAre) {
  Contiguous const c;
  Kokkos::View<float const****, Kokkos::LayoutRight, Memory> const q = c.q, k = c.k, v = c.v, d_out = c.d_out;
  expect_same(c, q, k, v, View("out", B, H, N, E), d_out, View("d_q", B, H, N, D), View("d_k", B, H, M, D),
              View("d_v", B, H, M, E));
}

TEST(Views, WithStridesAreUsedInPlace) {
  Contiguous const c;
  // (B, N, H, width + 3): heads side by side, and room behind each
  auto const strided = [](View const& like, char const* name) {
    View const memory(name, like.extent(0), like.extent(2), like.extent(1), like.extent(3) + 3);
    Kokkos::deep_copy(memory, -77.0f);
    auto const wide = Tensor(memory).transpose(1, 2);
    auto const part = wide.slice(3, 0, Index(like.extent(3))).view();
    Kokkos::deep_copy(part, like);
    return std::pair(memory, part);  // a LayoutStride view, and its memory
  };
  auto const q = strided(c.q, "q"), k = strided(c.k, "k"), v = strided(c.v, "v"), d_out = strided(c.d_out, "d_out");
  auto const out = strided(c.out, "out"), d_q = strided(c.d_q, "d_q"), d_k = strided(c.d_k, "d_k"),
             d_v = strided(c.d_v, "d_v");
  static_assert(std::is_same_v<decltype(q.second)::array_layout, Kokkos::LayoutStride>);
  for (auto const* x : {&out, &d_q, &d_k, &d_v}) Kokkos::deep_copy(x->second, 0.0f);
  expect_same(c, q.second, k.second, v.second, out.second, d_out.second, d_q.second, d_k.second, d_v.second);
  for (auto const* x : {&out, &d_q, &d_k, &d_v}) {  // nothing behind the heads is written
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), x->first);
    for (std::size_t i = 0; i < host.extent(1); ++i) EXPECT_EQ(host(1, i, 2, host.extent(3) - 1), -77.0f);
  }
}

TEST(Views, OfAFusedProjectionAreSplitWithoutACopy) {
  // One projection (B, N, 3, H, D) holds q, k and v, and its gradient theirs.
  using Fused = Tensor<float, 5, Memory>;
  Kokkos::View<float*, Memory> const memory("qkv", B * N * 3 * H * D), gradient("d_qkv", B * N * 3 * H * D);
  auto const part = [](Kokkos::View<float*, Memory> const& x, Index which) {
    Fused const qkv(x.data(), {B, N, 3, H, D});
    return Tensor<float, 4, Memory>(qkv.data() + which * qkv.stride(2), {B, H, N, D},
                                    {qkv.stride(0), qkv.stride(3), qkv.stride(1), qkv.stride(4)});
  };
  auto const host = Kokkos::create_mirror_view(memory);
  for (std::size_t i = 0; i < host.extent(0); ++i) host(i) = attn::normal<float>({.seed = 3, .stream = 0}, i);
  Kokkos::deep_copy(memory, host);

  auto const contiguous = [&](Index which) {
    View const copy("copy", B, H, N, D);
    Kokkos::deep_copy(copy, part(memory, which).view());
    return copy;
  };
  View const q = contiguous(0), k = contiguous(1), v = contiguous(2), d_out = random_view(View("d_out", B, H, N, D), 4);
  View const out("out", B, H, N, D), d_q("d_q", B, H, N, D), d_k("d_k", B, H, N, D), d_v("d_v", B, H, N, D);
  View const fused_out("out", B, H, N, D);
  Exec const exec;
  attn::Poly<3> const a;
  attn::AttentionOptions<attn::Causal> const options;
  auto const saved = attn::attention(exec, a, q, k, v, out, options);
  attn::attention_backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
  auto const fused_saved =
      attn::attention(exec, a, part(memory, 0), part(memory, 1), part(memory, 2), fused_out, options);
  attn::attention_backward(exec, a, part(memory, 0), part(memory, 1), part(memory, 2), fused_out, fused_saved, d_out,
                           part(gradient, 0), part(gradient, 1), part(gradient, 2), options);
  exec.fence();
  EXPECT_TRUE(same_bits(Tensor(fused_out), Tensor(out)));
  EXPECT_TRUE(same_bits(part(gradient, 0), Tensor(d_q)));
  EXPECT_TRUE(same_bits(part(gradient, 1), Tensor(d_k)));
  EXPECT_TRUE(same_bits(part(gradient, 2), Tensor(d_v)));
}

TEST(Views, OfAWidthOfOneMayHaveAnyLastStride) {
  // Without a second element the last stride means nothing; LayoutStride views of such slices have odd ones.
  View const q = random_view(View("q", 1, 1, N, 1), 1), out("out", 1, 1, N, 1), strange_out("out", 1, 1, N, 1);
  Tensor<float, 4, Memory> const strange(q.data(), {1, 1, N, 1}, {N, N, 1, 99});
  Exec const exec;
  attn::attention(exec, attn::Softmax{}, q, q, q, out);
  attn::attention(exec, attn::Softmax{}, strange, strange, strange, strange_out);
  exec.fence();
  EXPECT_TRUE(same_bits(Tensor(strange_out), Tensor(out)));
}

template <class Narrow>
void expect_narrow() {
  // Narrow inputs are widened, not computed with: only the roundings of the inputs and of the results remain.
  using NarrowView = Kokkos::View<Narrow****, Kokkos::LayoutRight, Memory>;
  Contiguous c;
  auto const narrow = [](View const& x) {
    NarrowView const y("narrow", x.extent(0), x.extent(1), x.extent(2), x.extent(3));
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), x);
    auto const narrow_host = Kokkos::create_mirror_view(y);
    for (std::size_t i = 0; i < host.size(); ++i) narrow_host.data()[i] = static_cast<Narrow>(host.data()[i]);
    Kokkos::deep_copy(y, narrow_host);
    return y;
  };
  auto const q = narrow(c.q), k = narrow(c.k), v = narrow(c.v), d_out = narrow(c.d_out), out = narrow(c.out);
  auto const d_q = narrow(c.d_q), d_k = narrow(c.d_k), d_v = narrow(c.d_v);
  Exec const exec;
  auto const saved = attn::attention(exec, attn::Softmax{}, q, k, v, out);
  static_assert(std::is_same_v<decltype(saved), attn::Saved<attn::Softmax, attn::AccumulatorOf<Narrow>, Memory> const>);
  attn::attention_backward(exec, attn::Softmax{}, q, k, v, out, saved, d_out, d_q, d_k, d_v);
  exec.fence();
  double const tolerance = 4.0 / 128;  // bf16 has 8 bits
  EXPECT_TRUE(allclose(Tensor(out), Tensor(c.out), tolerance));
  EXPECT_TRUE(allclose(Tensor(d_q), Tensor(c.d_q), tolerance));
  EXPECT_TRUE(allclose(Tensor(d_k), Tensor(c.d_k), tolerance));
  EXPECT_TRUE(allclose(Tensor(d_v), Tensor(c.d_v), tolerance));
}

TEST(Views, OfNarrowNumbersAreAccumulatedWide) {
  expect_narrow<Kokkos::Experimental::half_t>();
  expect_narrow<Kokkos::Experimental::bhalf_t>();
  expect_narrow<attn::Float16>();
  expect_narrow<attn::BFloat16>();
}

}  // namespace
