// What must hold whatever the numbers are.
#include <gtest/gtest.h>

#include <numeric>

#include "attention/cases.hpp"

namespace {

using namespace attn_test;

/// A power that is a value: one kernel for all.
auto polynomial(int power, std::vector<double> const& scale) {
  return [=](auto& arrays, double) {
    return attn::Poly<attn::any_power, attn::BasicDynamicScale<double>>{
        {arrays.put(scale), arrays.put(std::vector<double>(scale.size(), 0)), scale.size() > 1}, {power}};
  };
}

template <class Kernel>
class Identities : public ::testing::Test {
 protected:
  /// Forward and backward with c s^P. Lengths beyond a tile.
  static void expect_euler(int power, auto const& make_mask) {
    auto const in = random_inputs<double>({.batch = 2, .heads = 4, .kv_heads = 2, .queries = 37, .keys = 41});
    auto const r = run<Kernel>(in, polynomial(power, {0.3, -0.7, 0.1, 1.5}), make_mask);
    double const pull = inner(in.d_out, r.out);
    double const terms = 1e-13 * std::sqrt(inner(r.out, r.out) * inner(in.d_out, in.d_out));
    // out is homogeneous: of degree P in q and in k, and of degree 1 in v
    EXPECT_NEAR(inner(in.q, r.d_q), power * pull, power * terms) << "power " << power;
    EXPECT_NEAR(inner(in.k, r.d_k), power * pull, power * terms) << "power " << power;
    EXPECT_NEAR(inner(in.v, r.d_v), pull, terms) << "power " << power;
    // and of degree 1 in the scale of each head
    auto const& c = std::vector<double>{0.3, -0.7, 0.1, 1.5};
    EXPECT_NEAR(inner(c, r.d_parameters), pull, terms) << "power " << power;
  }
};

using Kernels = ::testing::Types<Reference, Portable, Chosen>;
TYPED_TEST_SUITE(Identities, Kernels);

TYPED_TEST(Identities, OfEulerHoldForEveryPower) {
  this->expect_euler(1, full());
  this->expect_euler(2, full());
  this->expect_euler(3, full());
  this->expect_euler(6, full());
}

TYPED_TEST(Identities, OfEulerHoldUnderMasks) {
  this->expect_euler(3, window({.before = 1000, .after = 0}));
  this->expect_euler(3, window({.before = 3, .after = 2}, {41, 17}));
}

TYPED_TEST(Identities, AttentionOfDegreeOneIsLinear) {
  // (q k^T / sqrt D) v = q (k^T v) / sqrt D
  Shape const s{.batch = 1, .heads = 2, .kv_heads = 2, .queries = 37, .keys = 41, .width = 6, .value_width = 4};
  auto const in = random_inputs<double>(s);
  auto const r = run<TypeParam>(in, polynomial(1, {1.0}), full());
  for (Index h = 0; h < s.heads; ++h) {
    for (Index i = 0; i < s.queries; ++i) {
      for (Index e = 0; e < s.value_width; ++e) {
        double expected = 0;
        for (Index d = 0; d < s.width; ++d) {
          double k_v = 0;
          for (Index j = 0; j < s.keys; ++j) {
            k_v += in.k[std::size_t((h * s.keys + j) * s.width + d)] *
                   in.v[std::size_t((h * s.keys + j) * s.value_width + e)];
          }
          expected += in.q[std::size_t((h * s.queries + i) * s.width + d)] * k_v / std::sqrt(6.0);
        }
        EXPECT_NEAR(r.out[std::size_t((h * s.queries + i) * s.value_width + e)], expected, 1e-12);
      }
    }
  }
}

TYPED_TEST(Identities, TheGradientOfTheScaleIsThePullOnTheOutput) {
  // out = c O, so d_c = sum <d_out, O> = sum <d_out, out> / c; at c = 0 it is that of O, which c = 1 shows.
  auto const in = random_inputs<double>({.queries = 37, .keys = 41});
  auto const gradient = [&](double c) { return run<TypeParam>(in, dynamic_poly<3>({c}), full()); };
  auto const one = gradient(1);
  double const expected = inner(in.d_out, one.out);
  for (double const c : {-2.0, 0.0, 0.25, 1.0}) {
    EXPECT_NEAR(gradient(c).d_parameters[0], expected, 1e-13 * 37 * 41 * 4) << "c = " << c;
  }
  auto const zero = gradient(0);
  for (double const x : zero.out) EXPECT_EQ(x, 0.0);
  for (double const x : zero.d_q) EXPECT_EQ(x, 0.0);
}

TYPED_TEST(Identities, ATrainedScaleAtItsFirstValueIsTheFixedOne) {
  auto const in = random_inputs<double>({});
  auto const fixed = run<TypeParam>(in, plain(attn::Poly<3, attn::FixedScale>{}), full());
  auto const dynamic = run<TypeParam>(in, dynamic_poly<3>({1 / std::sqrt(7.0)}), full());
  EXPECT_TRUE(agree(
      fixed,
      [&] {
        auto r = dynamic;
        r.d_parameters.clear();
        return r;
      }(),
      1e-15));
}

TYPED_TEST(Identities, TheRowsOfSoftmaxSumToOne) {
  // With values of one, the output is the sum of the weights.
  auto in = random_inputs<double>({.queries = 37, .keys = 41});
  std::fill(in.v.begin(), in.v.end(), 1.0);
  auto const r = run<TypeParam>(in, plain(attn::Softmax{}), window({.before = 5, .after = 0}));
  for (double const x : r.out) EXPECT_NEAR(x, 1, 1e-14);
  for (double const x : r.d_q) EXPECT_NEAR(x, 0, 1e-12);  // whatever the scores are
}

TYPED_TEST(Identities, AKeyThatIsNotSeenDoesNotMatter) {
  auto in = random_inputs<double>({.queries = 5, .keys = 40});
  auto const before = run<TypeParam>(in, plain(attn::Softmax{}), lengths({13, 40}));
  for (Index j = 13; j < 40; ++j) {
    for (Index d = 0; d < 6; ++d) in.k[std::size_t(j * 6 + d)] = 1e30;
    for (Index e = 0; e < 4; ++e) in.v[std::size_t(j * 4 + e)] = 1e30;
  }
  auto const after = run<TypeParam>(in, plain(attn::Softmax{}), lengths({13, 40}));
  EXPECT_EQ(before.out, after.out);
  EXPECT_EQ(before.d_q, after.d_q);
  EXPECT_EQ(before.d_k, after.d_k);
  for (Index j = 13 * 6; j < 40 * 6; ++j) EXPECT_EQ(after.d_k[std::size_t(j)], 0.0);
}

}  // namespace
