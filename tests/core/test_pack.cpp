#include "attn/activation/slope.hpp"
#include "attn/attention/detail/host/tile.hpp"
#include "attn/core/jet.hpp"
#include "attn/core/pack.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace {

using Floats = attn::Pack<float>;
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

/// Calls check(x, f(x)) for all lanes of packs over `n` numbers from `low` to `high`.
template <class F, class Check>
void scan(float low, float high, int n, F const& f, Check const& check) {
  std::vector<float> x(static_cast<std::size_t>(n + Floats::width), high);
  for (int i = 0; i < n; ++i) x[std::size_t(i)] = low + (high - low) * float(i) / float(n - 1);
  for (int i = 0; i < n; i += Floats::width) {
    Floats const in = Floats::load(&x[std::size_t(i)]), out = f(in);
    for (int l = 0; l < Floats::width; ++l) check(in[l], out[l]);
  }
}

double units_in_the_last_place(double got, double want) {
  float const at = static_cast<float>(want);
  return std::abs(got - want) / double(std::nextafter(at, infinity) - at);
}

TEST(Pack, LoadsAndStoresAllLanesOrTheFirst) {
  std::vector<float> x(2 * Floats::width), y(x.size(), -1.0f);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = float(i) + 1;
  Floats::load(x.data()).store(y.data());
  EXPECT_EQ(y[0], 1.0f);
  EXPECT_EQ(y[Floats::width - 1], float(Floats::width));
  EXPECT_EQ(y[Floats::width], -1.0f);
  for (int n = 0; n <= Floats::width; ++n) {
    Floats const part = Floats::load(x.data(), n);
    std::vector<float> z(Floats::width, -1.0f);
    part.store(z.data(), n);
    for (int l = 0; l < Floats::width; ++l) {
      EXPECT_EQ(part[l], l < n ? float(l) + 1 : 0.0f);
      EXPECT_EQ(z[std::size_t(l)], l < n ? float(l) + 1 : -1.0f);
    }
  }
}

TEST(Pack, BroadcastsKeepTheSignOfZero) {
  EXPECT_TRUE(std::signbit(Floats(-0.0f)[0]));
  EXPECT_FALSE(std::signbit(Floats(0.0f)[0]));
}

TEST(Pack, ComputesLaneByLane) {
  Floats a, b;
  for (int l = 0; l < Floats::width; ++l) {
    a.lanes[l] = float(l + 1);
    b.lanes[l] = float(2 * l - 3);
  }
  for (int l = 0; l < Floats::width; ++l) {
    EXPECT_EQ((a + b)[l], a[l] + b[l]);
    EXPECT_EQ((a - b)[l], a[l] - b[l]);
    EXPECT_EQ((a * b)[l], a[l] * b[l]);
    EXPECT_EQ((b / a)[l], b[l] / a[l]);
    EXPECT_EQ((-a)[l], -a[l]);
    EXPECT_EQ(attn::max(a, b)[l], std::max(a[l], b[l]));
    EXPECT_EQ(attn::min(a, b)[l], std::min(a[l], b[l]));
    EXPECT_EQ(attn::abs(b)[l], std::abs(b[l]));
    EXPECT_EQ(attn::sqrt(a)[l], std::sqrt(a[l]));
    EXPECT_EQ(attn::where_greater(a, b, a, b)[l], a[l] > b[l] ? a[l] : b[l]);
    EXPECT_EQ(attn::power<3>(b)[l], b[l] * b[l] * b[l]);
  }
  EXPECT_EQ(sum(a), float(Floats::width * (Floats::width + 1) / 2));
}

TEST(PackExp, IsWithinTwoUnitsInTheLastPlace) {
  double worst = 0;
  auto const check = [&](float x, float y) {
    worst = std::max(worst, units_in_the_last_place(y, std::exp(double(x))));
  };
  scan(
      -87.0f, 88.7f, 200'000, [](Floats x) { return attn::exp(x); }, check);
  scan(
      -1e-3f, 1e-3f, 10'000, [](Floats x) { return attn::exp(x); }, check);
  EXPECT_LT(worst, 2.0);
}

TEST(PackExp, IsWithinThreeUnitsInTheLastPlaceForNonpositiveArguments) {
  double worst = 0;
  scan(
      -87.0f, 0.0f, 200'000, [](Floats x) { return attn::exp_nonpositive(x); },
      [&](float x, float y) { worst = std::max(worst, units_in_the_last_place(y, std::exp(double(x)))); });
  EXPECT_LT(worst, 3.0);
  EXPECT_EQ(attn::exp_nonpositive(Floats(0.0f))[0], 1.0f);
  EXPECT_EQ(attn::exp_nonpositive(Floats(-infinity))[0], 0.0f);
  EXPECT_EQ(attn::exp_nonpositive(Floats(-1000.0f))[0], 0.0f);
  EXPECT_TRUE(std::isnan(attn::exp_nonpositive(Floats(not_a_number))[0]));
}

TEST(PackExp, EndsInZeroAndInfinityAndKeepsNaN) {
  EXPECT_EQ(attn::exp(Floats(0.0f))[0], 1.0f);
  EXPECT_EQ(attn::exp(Floats(-0.0f))[0], 1.0f);
  EXPECT_EQ(attn::exp(Floats(-1000.0f))[0], 0.0f);
  EXPECT_EQ(attn::exp(Floats(-infinity))[0], 0.0f);
  EXPECT_EQ(attn::exp(Floats(89.0f))[0], infinity);
  EXPECT_EQ(attn::exp(Floats(infinity))[0], infinity);
  EXPECT_LT(attn::exp(Floats(88.7f))[0], infinity);
  EXPECT_TRUE(std::isnan(attn::exp(Floats(not_a_number))[0]));
}

TEST(PackErf, IsWithinHalfAMillionth) {
  double worst = 0;
  scan(
      -6.0f, 6.0f, 200'000, [](Floats x) { return attn::erf(x); },
      [&](float x, float y) { worst = std::max(worst, std::abs(y - std::erf(double(x)))); });
  EXPECT_LT(worst, 5e-7);
  EXPECT_EQ(attn::erf(Floats(infinity))[0], 1.0f);
  EXPECT_EQ(attn::erf(Floats(-infinity))[0], -1.0f);
  EXPECT_TRUE(std::isnan(attn::erf(Floats(not_a_number))[0]));
}

TEST(PackErfAndTanh, KeepTheirRelativeAccuracyNearZero) {
  double worst_erf = 0, worst_tanh = 0;
  scan(
      1e-6f, 0.59f, 50'000, [](Floats x) { return attn::erf(x); },
      [&](float x, float y) { worst_erf = std::max(worst_erf, std::abs(y / std::erf(double(x)) - 1)); });
  scan(
      1e-6f, 0.29f, 50'000, [](Floats x) { return attn::tanh(x); },
      [&](float x, float y) { worst_tanh = std::max(worst_tanh, std::abs(y / std::tanh(double(x)) - 1)); });
  EXPECT_LT(worst_erf, 1e-6);
  EXPECT_LT(worst_tanh, 3e-6);
}

TEST(PackTanh, IsWithinHalfAMillionthAndOdd) {
  double worst = 0;
  scan(
      -12.0f, 12.0f, 200'000, [](Floats x) { return attn::tanh(x); },
      [&](float x, float y) { worst = std::max(worst, std::abs(y - std::tanh(double(x)))); });
  EXPECT_LT(worst, 1e-6);
  EXPECT_EQ(attn::tanh(Floats(-2.5f))[0], -attn::tanh(Floats(2.5f))[0]);
  EXPECT_EQ(attn::tanh(Floats(infinity))[0], 1.0f);
}

TEST(PackOfDouble, ComputesWithTheStandardLibrary) {
  using Doubles = attn::Pack<double>;
  double const x = 0.37;
  EXPECT_EQ(attn::exp(Doubles(x))[0], std::exp(x));
  EXPECT_EQ(attn::erf(Doubles(x))[0], std::erf(x));
  EXPECT_EQ(attn::log(Doubles(x))[0], std::log(x));
  EXPECT_EQ(attn::tanh(Doubles(x))[0], std::tanh(x));
  EXPECT_NEAR(attn::exp_nonpositive(Doubles(-x))[0], std::exp(-x), 1e-15);
  EXPECT_EQ(Doubles::width * 2, Floats::width);
}

TEST(Pack, AsTheScalarOfAJetDifferentiatesEachLane) {
  using P = attn::Pack<double>;
  P x(0.0);
  for (int lane = 0; lane < P::width; ++lane) x.lanes[lane] = 0.25 * lane;
  auto const y = attn::exp(attn::Jet<P, 1>::variable(x) * P(2.0));
  for (int lane = 0; lane < P::width; ++lane) {
    EXPECT_NEAR(y.coefficients[1][lane], 2 * std::exp(0.5 * lane), 1e-13);
  }
}

template <class P>
void expect_that_nan_stays() {
  using R = attn::RealOf<P>;
  R const nan = std::numeric_limits<R>::quiet_NaN(), inf = std::numeric_limits<R>::infinity();
  R const numbers[] = {R(0), R(-1), R(2), inf, -inf, nan};
  P x(R(0)), one_nan(R(0));
  one_nan.lanes[0] = nan;
  for (int l = 0; l < P::width; ++l) x.lanes[l] = numbers[std::size_t(l) % 6];
  for (R const a : numbers) {
    P const pairs[][2] = {{attn::max(x, P(a)), attn::max(P(a), x)}, {attn::min(x, P(a)), attn::min(P(a), x)}};
    for (int l = 0; l < P::width; ++l) {
      bool const is_nan = std::isnan(x[l]) || std::isnan(a);
      for (int side = 0; side < 2; ++side) {
        EXPECT_EQ(std::isnan(pairs[0][side][l]), is_nan) << x[l] << ", " << a;
        EXPECT_EQ(std::isnan(pairs[1][side][l]), is_nan) << x[l] << ", " << a;
        if (!is_nan) {
          EXPECT_EQ(pairs[0][side][l], std::max(x[l], a));
          EXPECT_EQ(pairs[1][side][l], std::min(x[l], a));
        }
      }
      EXPECT_EQ(attn::where_largest(x, P(a), P(R(1)), P(R(2)))[l], attn::where_largest(x[l], a, R(1), R(2)));
      EXPECT_EQ(attn::where_greater(x, P(a), P(R(1)), P(R(2)))[l], attn::where_greater(x[l], a, R(1), R(2)));
    }
  }
  for (auto* const f : {attn::abs<P>, attn::exp<P>, attn::log<P>, attn::sqrt<P>, attn::sin<P>, attn::cos<P>,
                        attn::tanh<P>, attn::erf<P>, attn::exp_nonpositive<P>}) {
    P const y = f(one_nan);
    EXPECT_TRUE(std::isnan(y[0]));
    for (int l = 1; l < P::width; ++l) EXPECT_FALSE(std::isnan(y[l]));
  }
}
TEST(Pack, LetsNoNanVanish) {
  expect_that_nan_stays<Floats>();
  expect_that_nan_stays<attn::Pack<double>>();
}

struct Sine {
  template <class T>
  ATTN_FUNCTION T operator()(T s, attn::Row) const {
    return attn::sin(s);
  }
};

TEST(Pack, HasTheWeightAndSlopeOfEachLane) {
  Floats s(0.0f);
  for (int lane = 0; lane < Floats::width; ++lane) s.lanes[lane] = 0.1f * float(lane) - 0.4f;
  auto const result = attn::weight_and_slope(Sine{}, s, attn::Row{});
  for (int lane = 0; lane < Floats::width; ++lane) {
    EXPECT_NEAR(result.weight[lane], std::sin(s[lane]), 1e-6);
    EXPECT_NEAR(result.slope[lane], std::cos(s[lane]), 1e-6);
  }
}

template <class Narrow>
void expect_conversions_of_single_numbers() {
  namespace lanes = attn::detail::host::lanes;
  for (std::uint32_t first = 0; first < 65536; first += Floats::width) {
    Narrow narrow[Floats::width], rounded[Floats::width];
    for (int l = 0; l < Floats::width; ++l) {
      narrow[l] = std::bit_cast<Narrow>(static_cast<std::uint16_t>(first + std::uint32_t(l)));
    }
    Floats const wide = lanes::load<Floats>(narrow), between = wide * Floats(1.003f);
    lanes::store(between, rounded);
    for (int l = 0; l < Floats::width; ++l) {
      EXPECT_EQ(std::bit_cast<std::uint32_t>(wide[l]), std::bit_cast<std::uint32_t>(float(narrow[l]))) << first + l;
      EXPECT_EQ(rounded[l].bits, Narrow(between[l]).bits) << between[l];
    }
  }
}
TEST(Pack, ConvertsNarrowNumbersAsOneByOne) {
  expect_conversions_of_single_numbers<attn::Float16>();
  expect_conversions_of_single_numbers<attn::BFloat16>();
}

}  // namespace
