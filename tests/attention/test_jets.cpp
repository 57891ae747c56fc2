// Attention of jets: derivatives of the output, and gradients of losses that contain derivatives.
#include "attn/testing/gradcheck.hpp"

#include <gtest/gtest.h>

#include "attention/cases.hpp"

namespace {

using namespace attn_test;

using J = attn::Jet<double, 1>;
using J2 = attn::Jet<double, 2>;

/// A user's activation with `operator()` alone.
struct Bump {
  template <class T>
  ATTN_FUNCTION T operator()(T s, attn::Row) const {
    return attn::exp(-s * s);
  }
};

/// x + t dx: inputs that move along a line.
template <class Jet>
std::vector<Jet> lift(std::vector<double> const& x, std::vector<double> const& dx) {
  std::vector<Jet> lifted;
  for (std::size_t i = 0; i < x.size(); ++i) lifted.push_back(Jet(x[i]) + Jet::variable(0) * dx[i]);
  return lifted;
}
std::vector<double> along(std::vector<double> x, std::vector<double> const& dx, double t) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += t * dx[i];
  return x;
}

template <class Kernel>
class AttentionOfJets : public ::testing::Test {
 protected:
  static constexpr Shape shape{
      .batch = 2, .heads = 2, .kv_heads = 1, .queries = 5, .keys = 7, .width = 3, .value_width = 2};
  Inputs<double> const in = random_inputs<double>(shape);
  Inputs<double> const direction{shape,
                                 normal_numbers(shape.q_size(), 21),
                                 normal_numbers(shape.k_size(), 22),
                                 normal_numbers(shape.v_size(), 23),
                                 {}};

  Inputs<double> at(double t) const {
    return {shape, along(in.q, direction.q, t), along(in.k, direction.k, t), along(in.v, direction.v, t), in.d_out};
  }
  /// d_out: any adjoint of the coefficients, as it is stored.
  template <class Jet>
  Inputs<Jet> lifted(Inputs<double> const& x, std::vector<Jet> const& d_out) const {
    return {shape, lift<Jet>(x.q, direction.q), lift<Jet>(x.k, direction.k), lift<Jet>(x.v, direction.v), d_out};
  }

  /// The second coefficient of the output is half its second derivative along the line.
  template <class MakeActivation, class MakeMask>
  void expect_derivatives(MakeActivation const& a, MakeMask const& mask) const {
    auto const jets =
        run<Kernel, false, false, false>(lifted<J2>(in, std::vector<J2>(in.d_out.size(), J2(0.0))), a, mask).out;
    double const h = 1e-3;
    auto const o = [&](double t) { return run<Reference>(at(t), a, mask).out; };
    auto const m2 = o(-2 * h), m1 = o(-h), zero = o(0), p1 = o(h), p2 = o(2 * h);
    for (std::size_t i = 0; i < jets.size(); ++i) {
      EXPECT_NEAR(jets[i].coefficients[0], zero[i], 1e-13);
      EXPECT_NEAR(jets[i].coefficients[1], (8 * (p1[i] - m1[i]) - (p2[i] - m2[i])) / (12 * h), 1e-8);
      double const second = (16 * (p1[i] + m1[i]) - 30 * zero[i] - (p2[i] + m2[i])) / (12 * h * h);
      EXPECT_NEAR(2 * jets[i].coefficients[2], second, 1e-6);
    }
  }

  /// The loss is <g, out> + <h, d out/dt>. Adjoints are stored with coefficients reversed.
  template <class MakeActivation, class MakeMask>
  void expect_gradients(MakeActivation const& a, MakeMask const& mask) const {
    auto const g = in.d_out, h = normal_numbers(shape.out_size(), 24);
    std::vector<J> d_out;
    for (std::size_t i = 0; i < g.size(); ++i) {
      J adjoint(h[i]);
      adjoint.coefficients[1] = g[i];
      d_out.push_back(adjoint);
    }
    auto const result = run<Kernel>(lifted<J>(in, d_out), a, mask);
    auto const check = [&](char const* name, auto member, std::vector<J> const& gradient) {
      std::vector<double> by_value;
      for (J const& d : gradient) by_value.push_back(attn::real_gradient(d));
      auto const loss = [&](std::size_t i, double shift) {
        auto moved = in;
        (moved.*member)[i] += shift;
        auto const out = run<Kernel>(lifted<J>(moved, d_out), a, mask).out;
        double sum = 0;
        for (std::size_t o = 0; o < out.size(); ++o)
          sum += g[o] * out[o].coefficients[0] + h[o] * out[o].coefficients[1];
        return sum;
      };
      auto const verdict = attn::testing::gradcheck(loss, by_value, {.tolerance = 1e-8});
      EXPECT_TRUE(verdict) << name << ": " << verdict.message();
    };
    check("d_q", &Inputs<double>::q, result.d_q);
    check("d_k", &Inputs<double>::k, result.d_k);
    check("d_v", &Inputs<double>::v, result.d_v);
  }
};

using Kernels = ::testing::Types<Reference, Portable, Chosen>;
TYPED_TEST_SUITE(AttentionOfJets, Kernels);

TYPED_TEST(AttentionOfJets, CarriesDerivativesOfTheOutput) {
  this->expect_derivatives(plain(attn::Softmax{}), full());
  this->expect_derivatives(plain(attn::Poly<3, attn::FixedScale>{}), window({.before = 2, .after = 1}, {7, 4}));
  this->expect_derivatives(plain(Bump{}), full());
}

TYPED_TEST(AttentionOfJets, HasGradientsOfLossesThatContainDerivatives) {
  this->expect_gradients(plain(attn::Softmax{}), full());
  this->expect_gradients(plain(attn::Poly<3, attn::FixedScale>{}), window({.before = 2, .after = 1}, {7, 4}));
  this->expect_gradients(plain(attn::L1Normalized{}), full());
  this->expect_gradients(plain(Bump{}), full());
}

TYPED_TEST(AttentionOfJets, HasTheGradientOfATrainedScale) {
  auto const g = this->in.d_out, h = normal_numbers(this->shape.out_size(), 24);
  std::vector<J> d_out;
  for (std::size_t i = 0; i < g.size(); ++i) {
    J adjoint(h[i]);
    adjoint.coefficients[1] = g[i];
    d_out.push_back(adjoint);
  }
  auto const lifted = this->template lifted<J>(this->in, d_out);
  auto const loss = [&](double c) {
    auto const out = run<TypeParam>(lifted, dynamic_poly<3>({c}), full()).out;
    double sum = 0;
    for (std::size_t o = 0; o < out.size(); ++o) sum += g[o] * out[o].coefficients[0] + h[o] * out[o].coefficients[1];
    return sum;
  };
  // the loss is linear in c
  double const difference = loss(1.5) - loss(0.5);
  double const gradient = run<TypeParam>(lifted, dynamic_poly<3>({0.7}), full()).d_parameters[0].value();
  EXPECT_NEAR(gradient, difference, 1e-11);
}

TYPED_TEST(AttentionOfJets, AgreesWithTheTextbookBeyondATile) {
  auto const any = [](Index n, std::uint64_t stream) {
    auto const values = normal_numbers(2 * n, stream);
    std::vector<J> jets;
    for (Index i = 0; i < n; ++i) {
      J x(values[std::size_t(2 * i)]);
      x.coefficients[1] = values[std::size_t(2 * i + 1)];
      jets.push_back(x);
    }
    return jets;
  };
  for (Index const n : {1, 2, 13, 37}) {
    Shape const s{.batch = 3, .heads = 2, .kv_heads = 1, .queries = n, .keys = 41};
    Inputs<J> const x{s, any(s.q_size(), 1), any(s.k_size(), 2), any(s.v_size(), 3), any(s.out_size(), 4)};
    auto const mask = window({.before = 100, .after = 3}, {41, 0, 7});
    auto const verdict =
        agree(run<TypeParam>(x, plain(attn::Softmax{}), mask), run<Reference>(x, plain(attn::Softmax{}), mask),
              attn::testing::tolerance<double>(41 * 8));
    EXPECT_TRUE(verdict) << "N = " << n << "\n" << verdict.message();
  }
}

}  // namespace
