#include "pde/check_loss.hpp"

namespace {

TEST(PdeLoss, GradientsOfSoftmaxAreThoseOfFiniteDifferences) { check(attn::Softmax{}); }
TEST(PdeLoss, GradientsOfAUsersActivationAreThoseOfFiniteDifferences) { check(MyActivation{}); }
TEST(PdeLoss, GradientsOfTheCubeAreThoseOfFiniteDifferences) { check(attn::Poly<3>{}); }
TEST(PdeLoss, GradientsOfTheCubeWithATrainedScaleAreThoseOfFiniteDifferences) {
  check(attn::Poly<3, attn::DynamicScale>{});
}

}  // namespace
