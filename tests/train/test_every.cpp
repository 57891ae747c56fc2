#include "attn/train/every.hpp"

#include <gtest/gtest.h>

namespace {

using namespace attn;
using namespace attn::train;

TEST(Every, ReadsStepsAndTimes) {
  EXPECT_EQ(Every::parse("500")->steps, 500u);
  EXPECT_EQ(Every::parse("90s")->seconds, 90);
  EXPECT_EQ(Every::parse("10m")->seconds, 600);
  EXPECT_EQ(Every::parse("2h")->seconds, 7200);
  for (char const* const text :
       {"", "0", "-1", "0m", "m", "10 m", "10d", "1.5m", "99999999999999999999", "2000000000"}) {
    EXPECT_FALSE(Every::parse(text)) << text;
  }
}

TEST(Every, IsWrittenAsItIsRead) {
  for (char const* const text : {"500", "90s", "10m", "2h"}) {
    EXPECT_EQ(Every::parse(text)->text(), text);
    EXPECT_EQ(Every::from_json(Every::parse(text)->json())->text(), text);
  }
  EXPECT_TRUE(Every().json().is_null());
  EXPECT_FALSE(Every::from_json(-3));
  EXPECT_FALSE(Every::from_json(true));
}

TEST(Rhythm, CountsFromTheBeginningOfTheRun) {
  Rhythm rhythm({.steps = 3});
  for (std::uint64_t step = 1; step < 10; ++step) EXPECT_EQ(rhythm.due(step), step % 3 == 0) << step;
  Rhythm never({});
  EXPECT_FALSE(never.due(3));
}

}  // namespace
