#include "attn/activation/poly.hpp"
#include "attn/testing/check_activation.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace {

using attn::Poly;
using attn::Row;
using attn::testing::check_activation;

template <int P>
void expect_power() {
  for (double const s : {-3.0, -1.0, -0.25, 0.0, 0.5, 1.0, 2.0}) {
    EXPECT_NEAR(Poly<P>{}(s, Row{7, 0}), std::pow(s, P), 1e-12 * std::pow(3.0, P)) << "P = " << P << ", s = " << s;
    EXPECT_NEAR(Poly<P>{}.slope(s, Row{7, 0}), P * std::pow(s, P - 1), 1e-12 * std::pow(3.0, P))
        << "P = " << P << ", s = " << s;
  }
  auto const report = check_activation(Poly<P>{});
  EXPECT_TRUE(report) << "P = " << P << "\n" << report.message();
}

TEST(Poly, IsThePowerForDegreesOneToSix) {
  expect_power<1>();
  expect_power<2>();
  expect_power<3>();
  expect_power<4>();
  expect_power<5>();
  expect_power<6>();
}

template <int P>
void expect_same_power_at_run_time() {
  Poly<attn::any_power> const chosen{{}, {P}};
  for (double const s : {-3.0, -0.25, 0.0, 0.5, 2.0}) {
    EXPECT_DOUBLE_EQ(chosen(s, Row{7, 0}), Poly<P>{}(s, Row{7, 0})) << "P = " << P << ", s = " << s;
    EXPECT_DOUBLE_EQ(chosen.slope(s, Row{7, 0}), Poly<P>{}.slope(s, Row{7, 0})) << "P = " << P << ", s = " << s;
  }
  auto const report = check_activation(Poly<attn::any_power, attn::FixedScale>{{}, {P}});
  EXPECT_TRUE(report) << "P = " << P << "\n" << report.message();
}

TEST(Poly, WithAPowerChosenAtRunTime_IsThatPower) {
  expect_same_power_at_run_time<1>();
  expect_same_power_at_run_time<3>();
  expect_same_power_at_run_time<6>();
  EXPECT_TRUE((check_activation(Poly<attn::any_power, attn::DynamicScale>{{}, {4}})));
}

TEST(Poly, WithAPowerChosenAtRunTime_KeepsItWhenItsScaleIsBound) {
  double const c = 0.5;
  auto const bound = Poly<attn::any_power, attn::DynamicScale>{{}, {4}}.bind(attn::LearnedParameters<double>{&c});
  EXPECT_EQ(bound(2.0, Row{}), 8.0);
  EXPECT_EQ(bound.for_row(Row{})(2.0, Row{}), 8.0);
  EXPECT_EQ(bound.parameter_slopes(2.0, Row{})[0], 16.0);
}

TEST(Poly, OfDegreeThree_KeepsTheSignOfTheScore) {
  for (float const s : {-5.0f, -0.1f, 0.1f, 5.0f}) EXPECT_GT(Poly<3>{}(s, Row{}) * s, 0.0f);
}

TEST(Poly, OfEvenDegree_LosesTheSignOfTheScore) {
  EXPECT_EQ(Poly<2>{}(-3.0f, Row{}), 9.0f);
  EXPECT_EQ(Poly<4>{}(-2.0f, Row{}), 16.0f);
}

TEST(Poly, OfDegreeOne_HasSlopeOneAtZero) {
  EXPECT_EQ(Poly<1>{}.slope(0.0, Row{}), 1.0);  // not 0^0 gone wrong
}

TEST(Poly, WithAFixedScaleIsSound) {
  EXPECT_TRUE((check_activation(Poly<3, attn::FixedScale>{})));
  EXPECT_TRUE((check_activation(Poly<4, attn::FixedScale>{{0.125}})));
}

TEST(Poly, WithATrainedScaleIsSound) {
  auto const report = check_activation(Poly<3, attn::DynamicScale>{});
  EXPECT_TRUE(report) << report.message();
}

TEST(Poly, WithATrainedScale_StartsAtOneOverTheRootOfTheNumberOfKeys) {
  using Dynamic = Poly<3, attn::DynamicScale>;
  EXPECT_DOUBLE_EQ(Dynamic::initial_parameters(256)[0], 1.0 / 16);
  EXPECT_STREQ(Dynamic::parameter_names[0], "scale");
  double const c = Dynamic::initial_parameters(49)[0];
  auto const dynamic = Dynamic{}.bind(attn::LearnedParameters<double>{&c});
  for (double const s : {-1.5, 0.0, 2.0}) {
    EXPECT_DOUBLE_EQ(dynamic(s, Row{49, 0}), (Poly<3, attn::FixedScale>{}(s, Row{49, 0})));
  }
}

TEST(Poly, IsLearnableOnlyWithATrainedScale) {
  EXPECT_FALSE((attn::LearnableActivation<Poly<3>, float>));
  EXPECT_FALSE((attn::LearnableActivation<Poly<3, attn::FixedScale>, float>));
  EXPECT_TRUE((attn::LearnableActivation<Poly<3, attn::DynamicScale>, float>));
  EXPECT_TRUE((attn::LearnableActivation<Poly<3, attn::DynamicScale>, attn::Jet<float, 1>>));
}

TEST(Poly, OfAJetCarriesTheDerivatives) {
  // (s + e)^3 = s^3 + 3 s^2 e + 3 s e^2 + e^3
  auto const w = Poly<3>{}(attn::Jet<double, 3>::variable(-2.0), Row{});
  EXPECT_EQ(w.coefficients[0], -8);
  EXPECT_EQ(w.coefficients[1], 12);
  EXPECT_EQ(w.coefficients[2], -6);
  EXPECT_EQ(w.coefficients[3], 1);
}

}  // namespace
