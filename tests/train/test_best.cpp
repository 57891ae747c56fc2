#include "attn/train/best.hpp"

#include <gtest/gtest.h>

namespace {

using namespace attn;
using namespace attn::train;

TEST(Best, OfEqualValuesTheFirstStays) {
  Best best;
  EXPECT_FALSE(best.exists());
  EXPECT_TRUE(best.improve({.metric = "a"}, {{"a", 0.0}}, 5));
  EXPECT_FALSE(best.improve({.metric = "a"}, {{"a", 0.0}}, 10));
  EXPECT_FALSE(best.improve({.metric = "a"}, {{"a", -1.0}}, 15));
  EXPECT_TRUE(best.improve({.metric = "a"}, {{"a", 2.0}}, 20));
  EXPECT_EQ(best.step, 20u);
  EXPECT_TRUE(best.improve({.metric = "a", .lowest = true}, {{"a", 1.0}}, 25));
  EXPECT_FALSE(best.improve({.metric = "a"}, {{"a", NAN}}, 30)) << "what is not a number is not better";
  EXPECT_THROW(best.improve({.metric = "b"}, {{"a", 1.0}}, 30), Error);
}

TEST(Best, IsReadAsItIsWritten_AndNothingElseIsBelieved) {
  Best best{.value = 0.5, .step = 7};
  EXPECT_EQ(Best::read(best.to_json(), 7, "F").value, 0.5);
  EXPECT_FALSE(Best::read(Best().to_json(), 7, "F").exists());
  EXPECT_THROW(Best::read(best.to_json(), 6, "F"), Error) << "of a step that was not done";
  for (io::Json const& bad :
       {io::Json(3), io::Json::array(), io::Json{{"value", 1}}, io::Json{{"value", "1"}, {"step", 1}},
        io::Json{{"value", 1}, {"step", -1}}, io::Json{{"value", 1}, {"step", 0}}}) {
    EXPECT_THROW(Best::read(bad, 7, "F"), Error) << bad;
  }
}

}  // namespace
