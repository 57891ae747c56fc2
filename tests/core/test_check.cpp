#include "attn/core/check.hpp"

#include <gtest/gtest.h>

namespace {

TEST(Check, StreamsItsPartsIntoTheMessage) {
  try {
    ATTN_CHECK(1 + 1 == 3, "sum: give numbers that add up to 3, got ", 1, " and ", 1);
    FAIL() << "no exception";
  } catch (attn::Error const& e) {
    EXPECT_STREQ(e.what(), "sum: give numbers that add up to 3, got 1 and 1");
  }
}

TEST(Check, EvaluatesNoPartOfTheMessageWhereAllIsWell) {
  int evaluated = 0;
  ATTN_CHECK(true, "never ", ++evaluated);
  EXPECT_EQ(evaluated, 0);
}

TEST(Check, IsOneStatement) {
  bool reached_else = false;
  if (false)
    ATTN_CHECK(false, "not reached");
  else
    reached_else = true;
  EXPECT_TRUE(reached_else);
}

TEST(Error, IsARuntimeError) { EXPECT_TRUE((std::is_base_of_v<std::runtime_error, attn::Error>)); }

}  // namespace
