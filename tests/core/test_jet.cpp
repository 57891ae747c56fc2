#include "attn/core/jet.hpp"
#include "attn/core/pack.hpp"
#include "attn/core/random.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace {

using attn::Jet;

template <class J>
J random_jet(std::uint64_t stream) {
  J x;
  for (int i = 0; i < J::size; ++i) {
    x.coefficients[i] = attn::normal<double>({.seed = 5, .stream = stream}, std::uint64_t(i));
  }
  return x;
}

template <class J>
void expect_near(J const& x, J const& y, double tolerance) {
  for (int i = 0; i < J::size; ++i) {
    EXPECT_NEAR(x.coefficients[i], y.coefficients[i], tolerance * (1 + std::abs(y.coefficients[i])))
        << "coefficient " << i;
  }
}

double factorial(int n) { return n < 2 ? 1 : n * factorial(n - 1); }

TEST(Jet, KeepsOneCoefficientForEachMonomial) {
  EXPECT_EQ((Jet<float, 1>::size), 2);
  EXPECT_EQ((Jet<float, 1, 1>::size), 4);
  EXPECT_EQ((Jet<float, 2, 1>::size), 6);
  using Layout = Jet<float, 2, 1>::Layout;
  EXPECT_EQ(Layout::index({0, 1}), 1);  // the last direction varies fastest
  EXPECT_EQ(Layout::index({2, 1}), 5);
  EXPECT_EQ(Layout::digit(5, 0), 2);
  EXPECT_EQ(Layout::digit(5, 1), 1);
}

TEST(Jet, OfAConstantHasNoDerivatives) {
  Jet<double, 2, 1> const c = 3.5;
  EXPECT_EQ(c.value(), 3.5);
  for (int i = 1; i < c.size; ++i) EXPECT_EQ(c.coefficients[i], 0.0);
}

TEST(Jet, MultipliesAsTruncatedPolynomials) {
  using J = Jet<double, 2, 1>;
  auto const a = random_jet<J>(1), b = random_jet<J>(2);
  J expected(0.0);
  for (int i = 0; i <= 2; ++i) {
    for (int j = 0; j <= 1; ++j) {
      for (int k = 0; i + k <= 2; ++k) {
        for (int l = 0; j + l <= 1; ++l) {
          expected.coefficients[2 * (i + k) + j + l] += a.coefficients[2 * i + j] * b.coefficients[2 * k + l];
        }
      }
    }
  }
  expect_near(a * b, expected, 1e-15);
}

TEST(Jet, IsACommutativeRing) {
  using J = Jet<double, 2, 1>;
  auto const a = random_jet<J>(1), b = random_jet<J>(2), c = random_jet<J>(3);
  expect_near(a * b, b * a, 1e-15);
  expect_near((a * b) * c, a * (b * c), 1e-14);
  expect_near(a * (b + c), a * b + a * c, 1e-14);
  expect_near(a - a, J(0.0), 0);
  expect_near(-a + a, J(0.0), 0);
  expect_near(2.5 * a, a * J(2.5), 1e-15);
}

TEST(Jet, DividesAsItMultiplies) {
  using J = Jet<double, 3, 2>;
  auto a = random_jet<J>(1), b = random_jet<J>(2);
  b.coefficients[0] = -1.25;
  expect_near(a / b * b, a, 1e-12);
  a /= b;
  a *= b;
  expect_near(a, random_jet<J>(1), 1e-12);
}

/// f^(k)(x) / k! for k = 0 ... 4
using Series = std::function<std::array<double, 5>(double)>;

template <class Function>
void expect_series(Function const& f, Series const& series, std::vector<double> const& points) {
  for (double const x : points) {
    auto const jet = f(Jet<double, 4>::variable(x));
    auto const expected = series(x);
    for (int k = 0; k <= 4; ++k) {
      EXPECT_NEAR(jet.coefficients[k], expected[std::size_t(k)], 1e-13 * (1 + std::abs(expected[std::size_t(k)])))
          << "order " << k << " at " << x;
    }
    // f(x + 2 e_1 - 3 e_2): the coefficient of e_1^i e_2^j is f^(i+j)(x) 2^i (-3)^j / (i! j!)
    using J = Jet<double, 2, 2>;
    auto const mixed = f(J(x) + J::variable<0>(0) * 2.0 + J::variable<1>(0) * -3.0);
    for (int i = 0; i <= 2; ++i) {
      for (int j = 0; j <= 2; ++j) {
        double const derivative = expected[std::size_t(i + j)] * factorial(i + j);
        double const coefficient = derivative * std::pow(2, i) * std::pow(-3, j) / (factorial(i) * factorial(j));
        EXPECT_NEAR(mixed.coefficients[3 * i + j], coefficient, 1e-13 * (1 + std::abs(coefficient)))
            << "order (" << i << ", " << j << ") at " << x;
      }
    }
  }
}

TEST(Jet, CarriesTheSeriesOfExp) {
  expect_series([](auto x) { return attn::exp(x); },
                [](double x) {
                  double const e = std::exp(x);
                  return std::array{e, e, e / 2, e / 6, e / 24};
                },
                {-2.0, 0.0, 1.5});
}

TEST(Jet, CarriesTheSeriesOfLog) {
  expect_series(
      [](auto x) { return attn::log(x); },
      [](double x) {
        return std::array{std::log(x), 1 / x, -1 / (2 * x * x), 1 / (3 * x * x * x), -1 / (4 * x * x * x * x)};
      },
      {0.5, 1.0, 3.0});
}

TEST(Jet, CarriesTheSeriesOfSqrt) {
  expect_series([](auto x) { return attn::sqrt(x); },
                [](double x) {
                  double const r = std::sqrt(x);
                  return std::array{r, 1 / (2 * r), -1 / (8 * r * x), 1 / (16 * r * x * x), -5 / (128 * r * x * x * x)};
                },
                {0.5, 1.0, 3.0});
}

TEST(Jet, CarriesTheSeriesOfTheReciprocal) {
  using J = Jet<double, 4>;
  for (double const x : {-2.0, 0.5, 3.0}) {
    auto const jet = 1.0 / J::variable(x);
    for (int k = 0; k <= 4; ++k) EXPECT_NEAR(jet.coefficients[k], std::pow(-1, k) * std::pow(x, -k - 1), 1e-13 * 32);
  }
}

TEST(Jet, CarriesTheSeriesOfSineAndCosine) {
  std::vector<double> const points = {-2.0, 0.0, 1.0};
  Series const sine = [](double x) {
    double const s = std::sin(x), c = std::cos(x);
    return std::array{s, c, -s / 2, -c / 6, s / 24};
  };
  expect_series([](auto x) { return attn::sin(x); }, sine, points);
  expect_series([](auto x) { return attn::cos(x); },
                [](double x) {
                  double const s = std::sin(x), c = std::cos(x);
                  return std::array{c, -s, -c / 2, s / 6, c / 24};
                },
                points);
}

TEST(Jet, CarriesTheSeriesOfTanh) {
  expect_series([](auto x) { return attn::tanh(x); },
                [](double x) {
                  double const y = std::tanh(x), d = 1 - y * y;  // y' = d, d' = -2 y d
                  double const d2 = -2 * y * d, d3 = -2 * d * d - 2 * y * d2, d4 = -6 * d * d2 - 2 * y * d3;
                  return std::array{y, d, d2 / 2, d3 / 6, d4 / 24};
                },
                {-1.5, 0.0, 0.7});
}

TEST(Jet, CarriesTheSeriesOfErf) {
  expect_series([](auto x) { return attn::erf(x); },
                [](double x) {
                  double const g = 2 / std::sqrt(M_PI) * std::exp(-x * x);
                  return std::array{std::erf(x), g, -x * g, (4 * x * x - 2) * g / 6, (12 * x - 8 * x * x * x) * g / 24};
                },
                {-1.0, 0.0, 0.4});
}

TEST(Jet, CarriesPowers) {
  auto const x = Jet<double, 2>::variable(-1.5);
  auto const y = attn::power<5>(x);
  EXPECT_DOUBLE_EQ(y.coefficients[0], std::pow(-1.5, 5));
  EXPECT_DOUBLE_EQ(y.coefficients[1], 5 * std::pow(-1.5, 4));
  EXPECT_DOUBLE_EQ(y.coefficients[2], 10 * std::pow(-1.5, 3));
}

TEST(Jet, ChoosesByItsValue) {
  using J = Jet<double, 1>;
  J const x = J::variable(2.0), y(1.0);
  EXPECT_EQ(attn::max(x, y).coefficients[1], 1.0);
  EXPECT_EQ(attn::min(x, y).coefficients[1], 0.0);
  EXPECT_EQ(attn::where_greater(x, y, J(7.0), x).value(), 7.0);
  EXPECT_EQ(attn::where_greater(y, x, J(7.0), x).value(), 2.0);
  EXPECT_EQ(attn::max(x, J(2.0)).coefficients[1], 0.0);  // equal: the second
  EXPECT_EQ(attn::min(J(2.0), x).coefficients[1], 1.0);
}

TEST(Jet, OfTheAbsoluteValueHasTheSignAsSlope) {
  using J = Jet<double, 2>;
  for (double const x : {-2.0, 0.0, 3.0}) {
    auto const y = attn::abs(J::variable(x));
    EXPECT_EQ(y.value(), std::abs(x));
    EXPECT_EQ(y.coefficients[1], (x > 0) - (x < 0));
    EXPECT_EQ(y.coefficients[2], 0.0);
  }
}

/// A composition whose every derivative is taken by differences of the order below.
template <class X>
X composition(X const& x, X const& t) {
  return attn::exp(-x * x) * attn::sin(t * 3.0 + x) / (X(2.0) + attn::tanh(x * t));
}

TEST(Jet, AgreesWithDifferencesInMixedOrders) {
  using J = Jet<double, 2, 1>;
  double const x = 0.3, t = -0.4, h = 1e-5;
  auto const at = [](double x0, double t0) { return composition(J::variable<0>(x0), J::variable<1>(t0)); };
  auto const jet = at(x, t), right = at(x + h, t), left = at(x - h, t), later = at(x, t + h), sooner = at(x, t - h);
  for (int j = 0; j <= 1; ++j) {
    for (int i = 0; i < 2; ++i) {  // d/dx of order (i, j) is order (i + 1, j)
      double const difference = (right.coefficients[2 * i + j] - left.coefficients[2 * i + j]) / (2 * h) / (i + 1);
      EXPECT_NEAR(jet.coefficients[2 * (i + 1) + j], difference, 1e-8) << i << ", " << j;
    }
  }
  for (int i = 0; i <= 2; ++i) {
    EXPECT_NEAR(jet.coefficients[2 * i + 1], (later.coefficients[2 * i] - sooner.coefficients[2 * i]) / (2 * h), 1e-8);
  }
}

TEST(Jet, OfJetsDifferentiatesTwice) {
  using Inner = Jet<double, 1>;
  auto const x = Jet<Inner, 1>::variable(Inner::variable(0.7));
  auto const y = attn::sin(x);
  EXPECT_DOUBLE_EQ(y.coefficients[0].coefficients[0], std::sin(0.7));
  EXPECT_DOUBLE_EQ(y.coefficients[0].coefficients[1], std::cos(0.7));
  EXPECT_DOUBLE_EQ(y.coefficients[1].coefficients[0], std::cos(0.7));
  EXPECT_DOUBLE_EQ(y.coefficients[1].coefficients[1], -std::sin(0.7));
}

/// With f(x) = b x and any loss L(f), the gradient by x is the transpose of multiplication by b. Stored with reversed
/// coefficients, it is multiplication by b: d_x = b d_f.
TEST(Jet, MultipliesReversedAdjointsAsWritten) {
  using J = Jet<double, 2, 1>;
  auto const b = random_jet<J>(1), weight = random_jet<J>(2);  // loss = sum_k weight_k f_k
  J reversed;
  for (int k = 0; k < J::size; ++k) reversed.coefficients[k] = weight.coefficients[J::size - 1 - k];
  auto const d_x = b * reversed;
  for (int m = 0; m < J::size; ++m) {
    J unit(0.0);
    unit.coefficients[m] = 1;
    auto const f = b * unit;
    double gradient = 0;
    for (int k = 0; k < J::size; ++k) gradient += weight.coefficients[k] * f.coefficients[k];
    EXPECT_NEAR(d_x.coefficients[J::size - 1 - m], gradient, 1e-14) << "coefficient " << m;
  }
  EXPECT_EQ(attn::real_gradient(d_x), d_x.coefficients[J::size - 1]);  // a real parameter is in the value alone
  EXPECT_EQ(attn::real_gradient(2.5), 2.5);
}

template <class T>
void expect_that_nan_stays() {
  using J = Jet<T, 1, 1>;
  using R = attn::RealOf<T>;
  auto const value = [](J const& x) {
    if constexpr (attn::Real<T>) {
      return x.value();
    } else {
      return x.value()[0];
    }
  };
  J const nan = J::template variable<0>(T(std::numeric_limits<R>::quiet_NaN())), zero = J(T(R(0)));
  for (J const& x : {attn::max(nan, zero), attn::max(zero, nan), attn::min(nan, zero), attn::min(zero, nan)}) {
    EXPECT_TRUE(std::isnan(value(x)));
  }
  for (auto* const f : {attn::abs<J>, attn::exp<J>, attn::log<J>, attn::sqrt<J>, attn::sin<J>, attn::cos<J>,
                        attn::tanh<J>, attn::erf<J>, attn::exp_nonpositive<J>}) {
    EXPECT_TRUE(std::isnan(value(f(nan))));
  }
}
TEST(Jet, LetsNoNanVanish) {
  expect_that_nan_stays<double>();
  expect_that_nan_stays<attn::Pack<float>>();
}

// As max(x, 0) is x, so its derivatives are those of x.
TEST(Jet, TakesTheDerivativesOfANanThatIsTheLargest) {
  using J = Jet<double, 1>;
  J const x = attn::max(J::variable(std::nan("")), J(0.0));
  EXPECT_EQ(x.coefficients[1], 1.0);
}

}  // namespace
