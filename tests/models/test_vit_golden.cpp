// The whole model against an independent implementation, for every activation, in single and double precision.
#include "attn/activation/poly.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/attention/any_activation.hpp"

#include "golden_vit.hpp"

namespace {

using namespace attn;
using attn_test::expect_golden_vit;

/// One model of each precision is compiled for all of them.
template <class T>
using Any = BasicAnyActivation<AttentionCall<attn_test::Exec, T>>;

/// The acceptance bound is 1e-4; single precision leaves 1e-6 to 1e-5 here, the files' rounding 1e-7.
template <class A>
void expect_both(std::string const& name, A const& activation, std::string const& weights = "vit/weights.safetensors") {
  expect_golden_vit<Any<float>, float>(name, activation, weights, 3e-5);
  expect_golden_vit<Any<double>, double>(name, activation, weights, 3e-7);
}

TEST(VitGolden, SoftmaxHasTheLogitsAndGradientsOfTheReference) { expect_both("softmax", Softmax{}); }

TEST(VitGolden, ACubicHasTheLogitsAndGradientsOfTheReference) { expect_both("poly3", Poly<3>{}); }

TEST(VitGolden, EveryPowerHasTheLogitsAndGradientsOfTheReference) {
  for (int const power : {1, 2, 3, 4, 5, 6}) {  // that Poly<P> is the same function, test_poly.cpp shows
    expect_both("poly" + std::to_string(power), Poly<any_power>{{}, {power}});
  }
}

TEST(VitGolden, AFixedScaleHasTheLogitsAndGradientsOfTheReference) {
  expect_both("poly3_fixed", Poly<3, FixedScale>{});
}

TEST(VitGolden, ATrainedScaleHasTheLogitsAndGradientsOfTheReference) {
  expect_both("poly3_dynamic", Poly<3, DynamicScale>{}, "vit/poly3_dynamic_weights.safetensors");
}

}  // namespace
