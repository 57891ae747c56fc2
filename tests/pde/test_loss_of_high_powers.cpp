#include "pde/check_loss.hpp"

namespace {

TEST(PdeLoss, GradientsOfTheFourthPowerAreThoseOfFiniteDifferences) { check_power<4>(); }
TEST(PdeLoss, GradientsOfTheFifthPowerAreThoseOfFiniteDifferences) { check_power<5>(); }
TEST(PdeLoss, GradientsOfTheSixthPowerAreThoseOfFiniteDifferences) { check_power<6>(); }

}  // namespace
