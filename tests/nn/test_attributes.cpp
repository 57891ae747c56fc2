#include "attn/nn/attributes.hpp"

#include <gtest/gtest.h>

namespace {

using attn::nn::matches;

TEST(Patterns, MatchWholeNames) {
  EXPECT_TRUE(matches("head.weight", "head.weight"));
  EXPECT_FALSE(matches("head", "head.weight"));
  EXPECT_FALSE(matches("weight", "head.weight"));
  EXPECT_TRUE(matches("", ""));
  EXPECT_FALSE(matches("", "a"));
  EXPECT_FALSE(matches("a", ""));
}

TEST(Patterns, StarsStandForAnyCharactersAndQuestionMarksForOne) {
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("*", "head.weight"));
  EXPECT_TRUE(matches("blocks.0.*", "blocks.0.attn.qkv.weight"));
  EXPECT_FALSE(matches("blocks.0.*", "blocks.01.weight"));
  EXPECT_TRUE(matches("*.bias", "blocks.0.bias.bias"));
  EXPECT_FALSE(matches("*.bias", "bias"));
  EXPECT_TRUE(matches("*.attn.*.weight", "blocks.3.attn.qkv.weight"));
  EXPECT_TRUE(matches("a*b*c", "a.b.b.c"));
  EXPECT_FALSE(matches("a*b*c", "a.c.b"));
  EXPECT_TRUE(matches("blocks.?.norm?.*", "blocks.3.norm1.weight"));
  EXPECT_FALSE(matches("blocks.?.norm1.*", "blocks.10.norm1.weight"));
  EXPECT_TRUE(matches("**a**", "a"));
}

}  // namespace
