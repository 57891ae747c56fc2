#include "attn/nn/registry.hpp"

#include "support.hpp"

namespace {

using attn::nn::Builder;
using attn::nn::normal;
using attn::nn::ParameterRegistry;

TEST(Registry, HaveTheNamesOfTheirPlaces) {
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

TEST(Registry, DecayByTheRuleOfTimm) {
  using attn::nn::weight_decay_applies;
  EXPECT_TRUE(weight_decay_applies("head.weight", 2));
  EXPECT_TRUE(weight_decay_applies("patch_embed.proj.weight", 4));
  EXPECT_FALSE(weight_decay_applies("norm.weight", 1));
  EXPECT_FALSE(weight_decay_applies("attn.activation.scale", 1));
  EXPECT_FALSE(weight_decay_applies("relative.bias", 2));
  EXPECT_FALSE(weight_decay_applies("bias", 2));
  EXPECT_TRUE(weight_decay_applies("unbias", 2));
  EXPECT_FALSE(weight_decay_applies("pos_embed", 3));
  EXPECT_FALSE(weight_decay_applies("encoder.cls_token", 3));
  EXPECT_TRUE(weight_decay_applies("my_pos_embed", 3));
}

TEST(Builder, SitesAreThoseOfTheirNames) {
  ParameterRegistry p, q;
  EXPECT_EQ((Builder(p) / "a" / "b").site(), (Builder(q) / "a" / "b").site());
  EXPECT_NE((Builder(p) / "a" / "b").site(), (Builder(p) / "a" / "c").site());
}

}  // namespace
