#include "pde/check_loss.hpp"

namespace {

// The power is a number of the running program here, so that one compilation serves all six.
template <class Scale>
void check_powers() {
  for (int power = 1; power <= 6; ++power) {
    SCOPED_TRACE(power);
    check(attn::Poly<attn::any_power, Scale>{{}, {power}}, 1);
  }
}

TEST(PdeLoss, GradientsOfPowersAreThoseOfFiniteDifferences) { check_powers<attn::NoScale>(); }
TEST(PdeLoss, GradientsOfPowersWithAFixedScaleAreThoseOfFiniteDifferences) { check_powers<attn::FixedScale>(); }
TEST(PdeLoss, GradientsOfPowersWithATrainedScaleAreThoseOfFiniteDifferences) { check_powers<attn::DynamicScale>(); }

}  // namespace
