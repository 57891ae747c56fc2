#include "attn/activation/tempered_softmax.hpp"
#include "attn/testing/check_activation.hpp"
#include "attn/testing/gradcheck.hpp"

#include <gtest/gtest.h>

#include "attention/cases.hpp"

namespace {

using namespace attn_test;
using attn::BasicTemperedSoftmax;
using J = attn::Jet<double, 1>;

static_assert(attn::RowActivation<attn::TemperedSoftmax, float> &&
              attn::LearnableActivation<attn::TemperedSoftmax, float>);
static_assert(!attn::PointwiseActivation<attn::TemperedSoftmax, float>);

/// One temperature for all heads, or one for each.
auto tempered(std::vector<double> const& temperatures) {
  return [=]<class R>(auto& arrays, R) {
    std::vector<R> const values(temperatures.begin(), temperatures.end());
    return BasicTemperedSoftmax<R>{
        {arrays.put(values), arrays.put(std::vector<R>(values.size(), R(0))), values.size() > 1}};
  };
}

TEST(TemperedSoftmax, IsSound) {
  auto const report = attn::testing::check_activation(attn::TemperedSoftmax{});
  EXPECT_TRUE(report) << report.message();
}

/// Forgets that the weights of a row share their normalizer.
struct WrongKnown : attn::KnownTemperature {
  template <class T>
  ATTN_FUNCTION Kokkos::Array<T, 1> parameter_pullbacks(T s, T w, T d_w, T, Stats<T> const&) const {
    return {s * w * d_w};
  }
};
template <attn::Real R>
struct Wrong : BasicTemperedSoftmax<R> {
  ATTN_FUNCTION WrongKnown for_row(attn::Row row) const { return {BasicTemperedSoftmax<R>::for_row(row)}; }
  template <attn::Real Other>
  Wrong<Other> bind(attn::LearnedParameters<Other> p) const {
    return {{p}};
  }
};

TEST(TemperedSoftmax, IsNotSoundWithAWrongGradient) {
  auto const report = attn::testing::check_activation(Wrong<float>{});
  EXPECT_NE(report.message().find("dloss / d(temperature)"), std::string::npos) << report.message();
}

TEST(TemperedSoftmax, OfOneIsSoftmax) {
  auto const in = random_inputs<double>({.queries = 19, .keys = 21});
  auto const one = run<Chosen>(in, tempered({1}), causal(2)),
             plain_one = run<Chosen>(in, plain(attn::Softmax{}), causal(2));
  EXPECT_TRUE(attn::testing::allclose(one.out, plain_one.out, 1e-14));
  EXPECT_TRUE(attn::testing::allclose(one.d_q, plain_one.d_q, 1e-13));
}

TEST(TemperedSoftmax, HasTheGradientOfItsTemperature) {
  Shape const s{.batch = 2, .heads = 2, .kv_heads = 1, .queries = 5, .keys = 6};
  auto const in = random_inputs<double>(s);
  auto const mask = window({.before = 2, .after = 1}, {6, 4});
  for (std::vector<double> const& temperatures : {std::vector<double>{0.7}, {0.7, -1.3}}) {
    auto const loss = [&](std::size_t i, double shift) {
      auto moved = temperatures;
      moved[i] += shift;
      return inner(run<Reference>(in, tempered(moved), mask).out, in.d_out);
    };
    auto const gradient = run<Reference>(in, tempered(temperatures), mask).d_parameters;
    ASSERT_EQ(gradient.size(), temperatures.size());
    auto const verdict = attn::testing::gradcheck(loss, gradient, {.tolerance = 1e-8});
    EXPECT_TRUE(verdict) << verdict.message();
  }
}

/// The kernels' forward and backward passes, and norms, against the textbook: many queries, few, and short sequences.
template <class Kernel, class T>
void expect_textbook() {
  for (Shape const& s : {Shape{.batch = 1, .heads = 2, .kv_heads = 2, .queries = 70, .keys = 67, .width = 5},
                         Shape{.batch = 2, .heads = 2, .kv_heads = 1, .queries = 2, .keys = 19},
                         Shape{.batch = 37, .heads = 2, .kv_heads = 2, .queries = 3, .keys = 5},
                         Shape{.batch = 1, .heads = 1, .kv_heads = 1, .queries = 1, .keys = 1},
                         Shape{.batch = 1, .heads = 2, .kv_heads = 2, .queries = 0, .keys = 4}}) {
    auto const in = random_inputs<T>(s);
    std::vector<double> temperatures{0.75};
    if (s.heads == 2) temperatures.push_back(-1.25);
    for (auto const& mask : {causal(3), window({.before = 1 << 20, .after = 1 << 20})}) {
      auto const want = run<Reference>(as_double(in), tempered(temperatures), mask);
      auto const got = run<Kernel>(in, tempered(temperatures), mask);
      auto const verdict = agree(got, want, attn::testing::tolerance<T>(double(s.keys + s.width)), s);
      EXPECT_TRUE(verdict) << s.batch << " x " << s.queries << " x " << s.keys << ": " << verdict.message();
    }
  }
}

TEST(TemperedSoftmax, AgreesWithTheTextbookInEveryKernel) {
  expect_textbook<Chosen, float>();
  expect_textbook<Portable, double>();
}

TEST(TemperedSoftmax, HasTheNormsOfScaledScores) {
  auto const in = random_inputs<double>({.queries = 9, .keys = 11});
  auto const tempered_norms = run<Chosen, true>(in, tempered({2}), full());
  auto const softmax_norms = run<Chosen, true>(in, plain(attn::Softmax{}), full(), 2 / std::sqrt(6.0));
  EXPECT_TRUE(attn::testing::allclose(tempered_norms.frobenius, softmax_norms.frobenius, 1e-12));
  for (std::size_t i = 0; i < softmax_norms.jacobian.size(); ++i) {  // of the scores before they are scaled
    EXPECT_NEAR(tempered_norms.jacobian[i], 4 * softmax_norms.jacobian[i], 1e-12);
  }
}

/// A loss of values and derivatives: <g, out> + <h, d out/dt>, whose adjoints have their coefficients reversed.
TEST(TemperedSoftmax, CarriesJets) {
  Shape const s{.batch = 3, .heads = 2, .kv_heads = 2, .queries = 4, .keys = 5, .width = 3, .value_width = 2};
  auto const lift = [](std::vector<double> const& x, std::uint64_t stream, bool reversed = false) {
    auto const other = normal_numbers(Index(x.size()), stream);
    std::vector<J> jets;
    for (std::size_t i = 0; i < x.size(); ++i) {
      J jet(reversed ? other[i] : x[i]);
      jet.coefficients[1] = reversed ? x[i] : other[i];
      jets.push_back(jet);
    }
    return jets;
  };
  auto const real = random_inputs<double>(s);
  Inputs<J> const in{s, lift(real.q, 31), lift(real.k, 32), lift(real.v, 33), lift(real.d_out, 34, true)};
  auto const want = run<Reference>(in, tempered({0.7, -1.3}), full());
  auto const verdict = agree(run<Chosen>(in, tempered({0.7, -1.3}), full()), want, 1e-12, s);
  EXPECT_TRUE(verdict) << verdict.message();

  auto const h = normal_numbers(s.out_size(), 34);
  auto const loss = [&](std::size_t, double shift) {
    auto const out = run<Reference>(in, tempered({0.7 + shift}), full()).out;
    double sum = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
      sum += real.d_out[i] * out[i].coefficients[0] + h[i] * out[i].coefficients[1];
    }
    return sum;
  };
  auto const jets = run<Reference>(in, tempered({0.7}), full()).d_parameters;
  std::vector<double> const gradient{jets[0].value()};
  EXPECT_TRUE(attn::testing::gradcheck(loss, gradient, {.tolerance = 1e-8}));
}

}  // namespace
