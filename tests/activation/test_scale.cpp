#include "attn/activation/scale.hpp"
#include "attn/core/jet.hpp"

#include <gtest/gtest.h>

#include <type_traits>

namespace {

using attn::Row;

static_assert(std::is_trivially_copyable_v<attn::NoScale> && std::is_trivially_copyable_v<attn::FixedScale> &&
              std::is_trivially_copyable_v<attn::DynamicScale>);

TEST(NoScale, IsOne) { EXPECT_EQ(attn::NoScale{}.value<float>(Row{1000, 0}), 1.0f); }

TEST(FixedScale, IsOneOverTheRootOfTheNumberOfKeys) {
  EXPECT_DOUBLE_EQ(attn::FixedScale{}.value<double>(Row{256, 0}), 1.0 / 16);
  EXPECT_FLOAT_EQ(attn::FixedScale{}.value<float>(Row{1, 3}), 1.0f);
}

TEST(FixedScale, IsTheNumberThatItIsGiven) {
  EXPECT_EQ((attn::FixedScale{.number = 0.25}.value<double>(Row{256, 0})), 0.25);
  EXPECT_EQ((attn::FixedScale{.number = -2}.value<double>(Row{256, 0})), -2.0);
}

TEST(DynamicScale, IsOneNumberForAllHeadsUnlessItIsPerHead) {
  float const numbers[] = {0.5f, -0.25f, 0.0f};
  for (int const head : {0, 1, 2}) {
    EXPECT_EQ((attn::DynamicScale{numbers}.value<float>(Row{9, head})), 0.5f);
    EXPECT_EQ((attn::DynamicScale{.number = numbers, .per_head = true}.value<float>(Row{9, head})), numbers[head]);
  }
}

TEST(DynamicScale, ServesWiderScalars) {
  float const c = 0.375f;
  EXPECT_EQ(attn::DynamicScale{&c}.value<double>(Row{}), 0.375);
  auto const jet = attn::DynamicScale{&c}.value<attn::Jet<float, 1>>(Row{});
  EXPECT_EQ(jet.coefficients[0], 0.375f);
  EXPECT_EQ(jet.coefficients[1], 0.0f);  // a parameter is a constant to the derivatives that a jet carries
}

}  // namespace
