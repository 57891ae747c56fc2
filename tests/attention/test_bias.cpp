// Biases of scores: every kernel against the textbook, and the textbook against finite differences.
#include "attn/attention/attention.hpp"
#include "attn/attention/norms.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "attention/differences.hpp"

namespace {

using namespace attn_test;
namespace host = attn::detail::host;

template <class T>
Inputs<T> biased_inputs(Shape const& s) {
  auto in = random_inputs<T>(s);
  auto const bias = normal_numbers(s.bias_size(), 5);
  in.bias.assign(bias.begin(), bias.end());
  return in;
}

template <class Kernel>
auto run_biased(auto const& in, auto const& make_activation, auto const& make_mask) {
  return run<Kernel, false, true>(in, make_activation, make_mask);
}

TEST(Bias, GradientsAreThoseOfFiniteDifferences) {
  auto const in = biased_inputs<double>(
      {.batch = 4, .heads = 2, .kv_heads = 1, .queries = 3, .keys = 4, .biases = 2, .bias_heads = 2});
  expect_differences(in, [](auto const& x) { return run_biased<Reference>(x, plain(attn::Softmax{}), full()); });
  expect_differences(in, [](auto const& x) { return run_biased<Reference>(x, plain(attn::Poly<3>{}), causal(1)); });
}

template <class Case>
class BiasOf : public ::testing::Test {
 protected:
  using Kernel = typename Case::first_type;
  using T = typename Case::second_type;

  template <class MakeActivation, class MakeMask>
  static void expect_textbook(Shape const& s, MakeActivation const& make_activation, MakeMask const& make_mask) {
    auto const in = biased_inputs<T>(s);
    auto const got = run_biased<Kernel>(in, make_activation, make_mask);
    auto const want = run_biased<Reference>(as_double(in), make_activation, make_mask);
    double const shared = double(s.batch * s.heads) / double(s.biases * s.bias_heads);
    double const length = (double(s.keys) + double(s.queries) * 2 + shared + double(s.width + s.value_width)) * 8;
    expect_agreement(got, want, length, s);
  }
  static void expect_textbook_for_both(Shape const& s, auto const& make_mask) {
    expect_textbook(s, plain(attn::Softmax{}), make_mask);
    expect_textbook(s, dynamic_poly<3>({0.25}), make_mask);
  }
};
using Cases = ::testing::Types<std::pair<Portable, double>, std::pair<Chosen, float>>;
TYPED_TEST_SUITE(BiasOf, Cases);

TYPED_TEST(BiasOf, WindowsAgreesWithTheTextbook) {
  for (Index const width : {16, 20}) {  // whole packs and others
    for (Index const n : {1, 5, 49, 50, 67}) {
      TestFixture::expect_textbook_for_both({.batch = 6,
                                             .heads = 2,
                                             .kv_heads = 2,
                                             .queries = n,
                                             .keys = n,
                                             .width = width,
                                             .value_width = width,
                                             .biases = 3,
                                             .bias_heads = 2},
                                            full());
    }
  }
}

// A shifted window of Swin: what came together from several places of the image keeps apart.
TYPED_TEST(BiasOf, ShiftedWindowsAgreesWithTheTextbook) {
  for (int const group : {3, 20, 28, 48}) {
    TestFixture::expect_textbook_for_both({.batch = 8, .queries = 49, .keys = 49, .width = 32, .value_width = 32},
                                          groups(group, group));
  }
}

TYPED_TEST(BiasOf, EverySequence_OneHead_AllOfThem_AgreesWithTheTextbook) {
  for (Index const biases : {1, 4}) {
    for (Index const heads : {1, 4}) {
      TestFixture::expect_textbook_for_both({.batch = 4,
                                             .heads = 4,
                                             .kv_heads = 2,
                                             .queries = 21,
                                             .keys = 70,
                                             .width = 16,
                                             .value_width = 16,
                                             .biases = biases,
                                             .bias_heads = heads},
                                            window({.before = 9, .after = 30, .offset = 3}, {70, 0, 41, 70}));
    }
  }
}

TYPED_TEST(BiasOf, SequencesWhoseGradientsAreKeptApart_AgreesWithTheTextbook) {
  for (Index const apart : {1, 3, 6}) {
    TestFixture::expect_textbook_for_both(
        {.batch = 6, .queries = 49, .keys = 49, .width = 16, .value_width = 16, .biases = 2, .d_biases = apart},
        groups(28, 28));
  }
}

TYPED_TEST(BiasOf, AHeadThatIsCutIntoParts_AgreesWithTheTextbook) {
  TestFixture::expect_textbook_for_both({.batch = 2, .heads = 1, .kv_heads = 1, .queries = 1361, .keys = 71},
                                        window({.before = 100, .after = 100}));
}

TYPED_TEST(BiasOf, Nothing_IsNothing) {
  TestFixture::expect_textbook_for_both({.queries = 0}, full());
  TestFixture::expect_textbook_for_both({.keys = 0}, full());
  TestFixture::expect_textbook_for_both({.value_width = 0}, full());
}

TYPED_TEST(BiasOf, ZeroIsNoBias) {
  using T = typename TestFixture::T;
  auto in = biased_inputs<T>({.queries = 49, .keys = 49, .width = 16, .value_width = 16});
  in.bias.assign(in.bias.size(), T(0));
  auto const with = run_biased<typename TestFixture::Kernel>(in, plain(attn::Softmax{}), full());
  auto const without = run<typename TestFixture::Kernel>(in, plain(attn::Softmax{}), full());
  EXPECT_EQ(with.out, without.out);
  EXPECT_EQ(with.d_q, without.d_q);
}

TEST(Bias, IsInTheNorms) {
  Shape const s{.queries = 19, .keys = 23};
  auto const in = biased_inputs<double>(s);
  auto const norms = run<Chosen, true, true>(in, plain(attn::Softmax{}), full());
  auto moved = in;
  moved.bias[5] += 1;
  auto const others = run<Chosen, true, true>(moved, plain(attn::Softmax{}), full());
  EXPECT_GT(std::abs(norms.frobenius[0] - others.frobenius[0]), 1e-6);
  auto const portable = run<Portable, true, true>(in, plain(attn::Softmax{}), full());
  for (std::size_t i = 0; i < norms.frobenius.size(); ++i) {
    EXPECT_NEAR(norms.frobenius[i], portable.frobenius[i], 1e-10);
    EXPECT_NEAR(norms.jacobian[i], portable.jacobian[i], 1e-10);
  }
}

// One query behind a block of 48, as windows of 49 have it, whose bias lies in lanes for the block alone.
TEST(Bias, OfFewQueriesAtTheEnd_IsInTheNorms) {
  auto const in = biased_inputs<float>({.queries = 49, .keys = 49, .width = 16, .value_width = 16});
  auto const norms = run<Chosen, true, true>(in, plain(attn::Softmax{}), full());
  auto const portable = run<Portable, true, true>(in, plain(attn::Softmax{}), full());
  EXPECT_TRUE(bool(attn::testing::allclose(norms.frobenius, portable.frobenius, 1e-5)));
  EXPECT_TRUE(bool(attn::testing::allclose(norms.jacobian, portable.jacobian, 1e-5)));
  EXPECT_TRUE(bool(attn::testing::allclose(norms.out, portable.out, 1e-5)));
}

/// The host's kernels on one thread of several.
struct Alone {
  using Exec = Kokkos::DefaultHostExecutionSpace;
  static Exec thread() { return Kokkos::Experimental::partition_space(Exec(), 1, 1)[0]; }

  template <class A, class X, class Saved, class Options>
  static void forward(Exec const&, A const& a, X q, X k, X v, X out, Saved const& saved, Options const& options) {
    attn::attention(thread(), a, q, k, v, out, saved, options);
  }
  template <class A, class X, class Saved, class Options>
  static void backward(Exec const&, A const& a, X q, X k, X v, X out, Saved const& saved, X d_out, X d_q, X d_k, X d_v,
                       Options const& options) {
    attn::attention_backward(thread(), a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
  }
};
struct Together {
  using Exec = Kokkos::DefaultHostExecutionSpace;

  template <class... X>
  static void forward(Exec const& exec, X const&... x) {
    attn::attention(exec, x...);
  }
  template <class... X>
  static void backward(Exec const& exec, X const&... x) {
    attn::attention_backward(exec, x...);
  }
};

TEST(Bias, HasTheSameGradientForAnyNumberOfThreads) {
  for (Index const heads : {1, 2}) {
    for (Index const width : {16, 64}) {  // with several groups of sequences for each bias, and with fewer
      auto const in = biased_inputs<float>({.batch = 40,
                                            .queries = 49,
                                            .keys = 49,
                                            .width = width,
                                            .value_width = 16,
                                            .biases = 2,
                                            .bias_heads = heads});
      auto const one = run_biased<Alone>(in, plain(attn::Softmax{}), full());
      auto const all = run_biased<Together>(in, plain(attn::Softmax{}), full());
      EXPECT_EQ(one.d_bias, all.d_bias);
      EXPECT_EQ(one.d_k, all.d_k);
    }
  }
}

TEST(Bias, OfDistancesIsTrained) {
  using Space = Kokkos::DefaultExecutionSpace;
  using View = Kokkos::View<float****, Kokkos::LayoutRight, Space>;
  Space const exec;
  Index const heads = 2, n = 12;
  View const values("values", 1, heads, n, n), gradient("gradient", 1, heads, n, n);
  View const q("q", 3, heads, n, 8), k("k", 3, heads, n, 8), v("v", 3, heads, n, 8), out("out", 3, heads, n, 8);
  View const d_out("d_out", 3, heads, n, 8), d_q("d_q", 3, heads, n, 8), d_k("d_k", 3, heads, n, 8),
      d_v("d_v", 3, heads, n, 8);
  auto const host_values = Kokkos::create_mirror_view(values), host_v = Kokkos::create_mirror_view(v);
  for (Index h = 0; h < heads; ++h) {
    for (Index i = 0; i < n; ++i) {
      host_v(2, h, i, 0) = float(i);
      for (Index j = 0; j < n; ++j) host_values(0, h, i, j) = -std::abs(float(i - j)) / float(1 << h);
    }
  }
  Kokkos::deep_copy(values, host_values);
  Kokkos::deep_copy(v, host_v);
  Kokkos::deep_copy(d_out, 1.0f);

  // s_ij = q_i.k_j / sqrt(D) - |i - j| / 2^h, over the keys that are not behind
  attn::Tensor const bias(values), d_bias(gradient);
  auto const options = attn::with_bias(attn::AttentionOptions<attn::Causal>{}, attn::ScoreBias<float>{bias, d_bias});
  auto const saved = attn::attention(exec, attn::Softmax{}, q, k, v, out, options);
  attn::attention_backward(exec, attn::Softmax{}, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);

  auto const result = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), out);
  auto const slope = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), gradient);
  double sum = 0, mean = 0;
  for (int j = 0; j <= 5; ++j) {
    double const w = std::exp(-(5.0 - j) / 2);
    sum += w;
    mean += w * j;
  }
  mean /= sum;
  EXPECT_NEAR(result(2, 1, 5, 0), mean, 1e-5) << "weights fall with the distance";
  EXPECT_NEAR(slope(0, 1, 5, 3), std::exp(-1.0) / sum * (3 - mean), 1e-5);
  EXPECT_EQ(slope(0, 1, 5, 6), 0.0f) << "hidden";
}

template <class Extents>
std::string message_of(Extents const& bias) {
  using Memory = Kokkos::DefaultHostExecutionSpace::memory_space;
  std::vector<float> x(1000), y(1000);
  attn::Tensor<float, 4, Memory> const q(x.data(), {2, 2, 5, 3}), k(x.data(), {2, 2, 7, 3});
  attn::Tensor<float, 4, Memory> const out(y.data(), {2, 2, 5, 3});
  attn::ScoreBias<float, Memory> const b{{x.data(), bias}};
  try {
    attn::attention(Kokkos::DefaultHostExecutionSpace(), attn::Softmax{}, q, k, k, out,
                    attn::with_bias(attn::AttentionOptions<>{}, b));
  } catch (attn::Error const& e) {
    return e.what();
  }
  return "";
}

TEST(Bias, OfAnotherShapeIsAnError) {
  using E = attn::Extents<4>;
  EXPECT_EQ(message_of(E{1, 2, 5, 7}), "");
  EXPECT_NE(message_of(E{1, 2, 5, 6}).find("a shape of (., ., 5, 7), got (., ., 5, 6)"), std::string::npos);
  EXPECT_NE(message_of(E{3, 2, 5, 7}).find("a batch that divides 2 and 1 or 2 heads, got (3, 2)"), std::string::npos);
  EXPECT_NE(message_of(E{1, 3, 5, 7}).find("got (1, 3)"), std::string::npos);
}

}  // namespace
