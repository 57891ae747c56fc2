#include "attn/nn/registry.hpp"

#include <cmath>

#include "support.hpp"

namespace {

using attn::nn::Builder;
using attn::nn::normal;
using attn::nn::ParameterRegistry;

TEST(Registry, ParametersHaveTheNamesOfTheirPlaces) {
  ParameterRegistry p;
  Builder const root = p;
  (root / "blocks" / 3 / "attn").add<2>("weight", {2, 3}, normal(1));
  root.add<3>("cls_token", {1, 1, 5}, normal(1));
  ASSERT_EQ(p.entries().size(), 2u);
  EXPECT_EQ(p.entries()[0].name, "blocks.3.attn.weight");
  EXPECT_EQ(p.entries()[0].shape, (std::vector<attn::Index>{2, 3}));
  EXPECT_EQ(p.entries()[1].name, "cls_token");
  EXPECT_EQ(p.count(), 11);
  EXPECT_TRUE(p.contains("cls_token"));
  EXPECT_FALSE(p.contains("cls"));
  EXPECT_EQ(&p.entry("cls_token"), &p.entries()[1]);
}

TEST(Registry, MatricesDecayAndVectorsDoNotUnlessTheirModuleSaysSo) {
  ParameterRegistry p;
  Builder const root = p;
  root.add<4>("patch_embed.proj.weight", {2, 3, 4, 4}, normal(1));
  root.add<1>("norm.weight", {3}, normal(1));
  root.add<2>("relative_position_bias_table", {9, 2}, normal(1), {.decays = false});
  root.add<1>("gamma", {3}, normal(1), {.decays = true});
  std::vector<bool> decays;
  for (auto const& e : p.entries()) decays.push_back(e.decays);
  EXPECT_EQ(decays, (std::vector<bool>{true, false, false, true}));
}

TEST(Registry, AttributesChangeWhereNamesMatchAndOthersStay) {
  ParameterRegistry p;
  Builder const root = p;
  for (char const* const name : {"blocks.0.fc.weight", "blocks.1.fc.weight", "blocks.10.fc.weight", "head.weight"}) {
    root.add<2>(name, {2, 2}, normal(1), {.learning_rate_factor = 0.5});
  }
  auto const before = p.attributes_version();
  p.set("blocks.1.*", {.trained = false});
  EXPECT_NE(p.attributes_version(), before);
  p.set("*.weight", {.decays = false});
  for (auto const& e : p.entries()) {
    EXPECT_EQ(e.trained, e.name != "blocks.1.fc.weight") << e.name;
    EXPECT_FALSE(e.decays) << e.name;
    EXPECT_EQ(e.learning_rate_factor, 0.5) << e.name;
  }
}

TEST(Registry, APatternThatMatchesNothing_AndAFactorThatIsNone_AreRefused) {
  ParameterRegistry p;
  Builder(p).add<1>("head.weight", {2}, normal(1));
  EXPECT_EQ(
      attn_test::error_of([&] { p.set("blocks.*", {.trained = false}); }),
      "Parameters: give a pattern that matches the name of a parameter, such as \"head.weight\"; \"blocks.*\" matches "
      "none of 1");
  EXPECT_THROW(p.set("", {.trained = false}), attn::Error);
  for (double const factor : {-1.0, std::nan(""), 1.0 / 0.0}) {
    EXPECT_NE(attn_test::error_of([&] { p.set("*", {.learning_rate_factor = factor}); }).find("not negative, got"),
              std::string::npos);
  }
  EXPECT_EQ(p.entries()[0].learning_rate_factor, 1);
}

TEST(Builder, SitesAreThoseOfTheirNames) {
  ParameterRegistry p, q;
  EXPECT_EQ((Builder(p) / "a" / "b").site(), (Builder(q) / "a" / "b").site());
  EXPECT_NE((Builder(p) / "a" / "b").site(), (Builder(p) / "a" / "c").site());
}

}  // namespace
