#include "pde/check_loss.hpp"

namespace {

TEST(PdeLoss, GradientsOfSoftmaxAreThoseOfFiniteDifferences) { check(attn::Softmax{}); }
TEST(PdeLoss, GradientsOfAUsersActivationAreThoseOfFiniteDifferences) { check(MyActivation{}); }
TEST(PdeLoss, GradientsOfTheFirstPowerAreThoseOfFiniteDifferences) { check_power<1>(); }
TEST(PdeLoss, GradientsOfTheSquareAreThoseOfFiniteDifferences) { check_power<2>(); }
TEST(PdeLoss, GradientsOfTheCubeAreThoseOfFiniteDifferences) { check_power<3>(); }

}  // namespace
