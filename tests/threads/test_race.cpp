// The thread sanitizer of this build finds races, also of packs, and takes no loop of Kokkos for one.
#include <gtest/gtest.h>

#include "programs/program.hpp"

namespace {

using attn::programs::run;

TEST(Race, IsReportedWhereThreadsShareANumber) {
  auto const exit = run(ATTN_PROBE, {"sum_of_all"});
  EXPECT_NE(exit.code, 0);
  EXPECT_NE(exit.err.find("ThreadSanitizer: data race"), std::string::npos) << exit.err;
}

TEST(Race, IsReportedWherePacksOverlap) {
  auto const exit = run(ATTN_PROBE, {"overlapping_packs"});
  EXPECT_NE(exit.code, 0);
  EXPECT_NE(exit.err.find("ThreadSanitizer: data race"), std::string::npos) << exit.err;
}

TEST(Race, IsReportedBetweenThreadsOfTheLanguage) {
  auto const exit = run(ATTN_PROBE, {"early_reader"});
  EXPECT_NE(exit.code, 0);
  EXPECT_NE(exit.err.find("ThreadSanitizer: data race"), std::string::npos) << exit.err;
}

TEST(Race, IsNotReportedOfLoopsInTurn) {
  auto const exit = run(ATTN_PROBE, {"loops_in_turn"});
  EXPECT_EQ(exit.code, 0) << exit.err;
  EXPECT_EQ(exit.out, "done\n");
}

}  // namespace
