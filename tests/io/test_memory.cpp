#include "attn/io/memory.hpp"

#include <gtest/gtest.h>

namespace {

using namespace attn;
using namespace attn::io;

TEST(MemoryPlan, BytesReadEasily) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1000), "1.0 kB");
  EXPECT_EQ(bytes_text(24.6e9), "25 GB");
  EXPECT_EQ(bytes_text(1.6e12), "1.6 TB");
  EXPECT_EQ(bytes_text(999.6e9), "1.0 TB");
  EXPECT_EQ(bytes_text(3e30), "3000000000000 EB");
}

TEST(MemoryPlan, WhatDoesNotFit_IsRefusedWithItsParts_UnlessTheUserInsists) {
  MemoryPlan plan;
  plan.add("parameters", 3e9);
  plan.add("activations", 1e15);
  plan.add("little", 5);
  try {
    plan.check(false, 24e9);
    FAIL();
  } catch (Error const& error) {
    EXPECT_STREQ(error.what(),
                 "this run would take about 1.0 PB of memory (activations 1.0 PB), this machine has 24 GB; choose "
                 "smaller sizes, or insist with --insist");
  }
  ::testing::internal::CaptureStderr();
  EXPECT_NO_THROW(plan.check(true, 24e9));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "this run takes about 1.0 PB of memory (activations 1.0 PB)\n");
}

TEST(MemoryPlan, WhatTakesLittle_IsNotWorthALine) {
  MemoryPlan plan;
  plan.add("parameters", 1e6);
  ::testing::internal::CaptureStderr();
  plan.check(false);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_GT(memory_of_machine(), 1e8);
}

}  // namespace
