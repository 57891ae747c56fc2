// Attention of jets in planes, whole or with planes left out, by the host's kernel and by the portable one, against the
// textbook.
#include "attn/activation/activation.hpp"
#include "attn/attention/attention.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

namespace {

using attn::Index;
using J = attn::Jet<double, 2, 1>;
using Exec = Kokkos::DefaultHostExecutionSpace;
using Tensor4 = attn::Tensor<J, 4, Kokkos::HostSpace>;

/// A tensor of jets (B, H, N, D) stored as (B, N, H D), so that heads are strided.
struct Jets {
  std::vector<double> memory;
  Tensor4 tensor;
  Jets(attn::Extents<4> e, attn::JetPlanes<J> const& planes, double seed)
      : memory(std::size_t(planes.count * e[0] * e[1] * e[2] * e[3])) {
    for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = std::sin(seed + 1.3 * double(i));
    attn::Extents<4> const strides{e[1] * e[2] * e[3], e[3], e[1] * e[3], 1};
    tensor = Tensor4({memory.data(), e, strides}, e[0] * e[1] * e[2] * e[3], planes);
  }

  /// Puts NaN and infinities into all planes of the tokens of sequence b that come after the first seen(b).
  void spoil(std::function<Index(Index)> const& seen) {
    Index const row = tensor.extent(1) * tensor.extent(3), tokens = tensor.extent(2);
    for (std::size_t i = 0; i < memory.size(); ++i) {
      Index const token = Index(i) / row % tokens, b = Index(i) / (row * tokens) % tensor.extent(0);
      if (token >= seen(b)) memory[i] = i % 3 == 1 ? std::numeric_limits<double>::infinity() : std::nan("");
    }
  }
};

struct TanhTimes {
  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row row) const {
    return attn::tanh(score) * score / T(attn::RealOf<T>(row.n_keys));
  }
};

struct Case {
  Index batch, n, m;
  attn::JetPlanes<J> planes;
};

/// How many keys of sequence b of a case any query sees; the others are not finite.
using Seen = std::function<Index(Case const&, Index b)>;
Index all_keys(Case const& c, Index) { return c.m; }

/// out, d_q, d_k and d_v of a case, as `run` computes them.
template <class Run>
std::array<std::vector<double>, 4> results(Case const& c, Seen const& seen, Run const& run) {
  Index const heads = 4, key_heads = 2;
  auto const adjoint = c.planes.adjoint();
  Jets const q({c.batch, heads, c.n, 3}, c.planes, 1), out({c.batch, heads, c.n, 2}, c.planes, 0);
  Jets k({c.batch, key_heads, c.m, 3}, c.planes, 2), v({c.batch, key_heads, c.m, 2}, c.planes, 3);
  k.spoil([&](Index b) { return seen(c, b); });
  v.spoil([&](Index b) { return seen(c, b); });
  Jets const d_out({c.batch, heads, c.n, 2}, adjoint, 4), d_q({c.batch, heads, c.n, 3}, adjoint, 0),
      d_k({c.batch, key_heads, c.m, 3}, adjoint, 0), d_v({c.batch, key_heads, c.m, 2}, adjoint, 0);
  run(q.tensor, k.tensor, v.tensor, out.tensor, d_out.tensor, d_q.tensor, d_k.tensor, d_v.tensor);
  Exec().fence();
  return {out.memory, d_q.memory, d_k.memory, d_v.memory};
}

/// `scale_gradient`: where the activation adds up the gradients of its four numbers; null if it has none.
template <class A, class M = attn::Full>
void compare(A const& a, double* scale_gradient = nullptr, M const& mask = {}, Seen const& seen = all_keys) {
  std::bitset<6> wanted;
  wanted[4] = true;  // u_xx, and what divides it
  wanted[1] = true;
  attn::AttentionOptions<M> const options{.mask = mask};
  auto const collected = [&] {
    std::array<double, 4> g{};
    for (std::size_t i = 0; scale_gradient != nullptr && i < 4; ++i) g[i] = std::exchange(scale_gradient[i], 0.0);
    return g;
  };
  for (auto const& planes : {attn::JetPlanes<J>(), attn::JetPlanes<J>::closure_of(wanted)}) {
    for (Case const& c : {Case{1, 1, 1, planes}, {17, 5, 5, planes}, {9, 2, 7, planes}, {0, 3, 3, planes}}) {
      auto const expected =
          results(c, seen, [&](auto q, auto k, auto v, auto out, auto d_out, auto d_q, auto d_k, auto d_v) {
            attn::reference::attention(a, q, k, v, out, options);
            attn::reference::attention_backward(a, q, k, v, d_out, d_q, d_k, d_v, options);
          });
      auto const scale_expected = collected();
      auto const host =
          results(c, seen, [&](auto q, auto k, auto v, auto out, auto d_out, auto d_q, auto d_k, auto d_v) {
            auto const saved = attn::attention(Exec(), a, q, k, v, out, options);
            attn::attention_backward(Exec(), a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
          });
      auto const scale_host = collected();
      auto const team =
          results(c, seen, [&](auto q, auto k, auto v, auto out, auto d_out, auto d_q, auto d_k, auto d_v) {
            attn::Saved<A, J, Kokkos::HostSpace> const saved(q.extent(0), q.extent(1), q.extent(2));
            attn::detail::team_attention_forward(Exec(), a, q, k, v, out, saved, options);
            attn::detail::team_attention_backward(Exec(), a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
          });
      auto const scale_team = collected();
      for (std::size_t t = 0; t < 4; ++t) {
        for (std::size_t i = 0; i < expected[t].size(); ++i) {
          ASSERT_NEAR(host[t][i], expected[t][i], 1e-11) << "tensor " << t << " element " << i << " batch " << c.batch;
          ASSERT_NEAR(team[t][i], expected[t][i], 1e-11) << "tensor " << t << " element " << i << " batch " << c.batch;
        }
        EXPECT_NEAR(scale_host[t], scale_expected[t], 1e-10) << t;
        EXPECT_NEAR(scale_team[t], scale_expected[t], 1e-10) << t;
      }
    }
  }
}

TEST(AttentionOfJetPlanes, SoftmaxIsThatOfTheTextbook) { compare(attn::Softmax{}); }
TEST(AttentionOfJetPlanes, AUsersActivationIsThatOfTheTextbook) { compare(TanhTimes{}); }
TEST(AttentionOfJetPlanes, ACausalCubeIsThatOfTheTextbook) { compare(attn::Poly<3>{}, nullptr, attn::Causal{}); }

TEST(AttentionOfJetPlanes, AScaleOfEachHeadGetsItsGradient) {
  double const scale[4] = {0.3, -0.2, 0.0, 0.5};
  double gradient[4] = {};
  compare(attn::Poly<3, attn::BasicDynamicScale<double>>{{scale, gradient, true}}, gradient);
}

TEST(AttentionOfJetPlanes, LengthsThatDifferWithinAVectorAreThoseOfTheTextbook) {
  int lengths[17];
  for (int b = 0; b < 17; ++b) lengths[b] = b % 6;
  compare(attn::Softmax{}, nullptr, attn::KeyPadding{lengths});
}

// Zero times a number that is not finite is no zero: what a mask hides is left out, forward and backward.
TEST(AttentionOfJetPlanes, AreIndifferentToWhatAMaskHides) {
  compare(attn::Poly<3>{}, nullptr, attn::Causal{}, [](Case const& c, Index) { return c.n; });
  int lengths[17];
  for (int b = 0; b < 17; ++b) lengths[b] = b % 6;
  compare(attn::Softmax{}, nullptr, attn::KeyPadding{lengths}, [&](Case const&, Index b) { return Index(lengths[b]); });
}

}  // namespace
