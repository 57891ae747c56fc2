#include "attn/train/progress.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <sstream>
#include <string>
#include <thread>

namespace {

using namespace attn::train;
using detail::Moment;

Moment half_way() {
  return {.label = "softmax, epoch 3/10",
          .fraction = 0.5,
          .values = {{"loss", 0.51234567}},
          .items_per_second = 3412.4,
          .unit = "images",
          .seconds_left = 83};
}

TEST(Progress, NumbersAndTimesReadEasily) {
  EXPECT_EQ(detail::grouped(0), "0");
  EXPECT_EQ(detail::grouped(999), "999");
  EXPECT_EQ(detail::grouped(1000), "1,000");
  EXPECT_EQ(detail::grouped(-1234567), "-1,234,567");
  EXPECT_EQ(detail::duration(0), "0:00");
  EXPECT_EQ(detail::duration(-3), "0:00");
  EXPECT_EQ(detail::duration(7.4), "0:07");
  EXPECT_EQ(detail::duration(59.6), "1:00");
  EXPECT_EQ(detail::duration(754), "12:34");
  EXPECT_EQ(detail::duration(3723), "1:02:03");
  EXPECT_EQ(detail::duration(100 * 3600), "100:00:00");
  EXPECT_EQ(detail::duration(std::numeric_limits<double>::infinity()), "-:--");
  EXPECT_EQ(detail::duration(std::numeric_limits<double>::quiet_NaN()), "-:--");
}

TEST(Progress, PlainLineHoldsEverything) {
  EXPECT_EQ(half_way().line(), "softmax, epoch 3/10  50%  loss 0.5123  3,412 images/s  1:23 left");
  Moment slow = half_way();
  slow.items_per_second = 0.25;
  EXPECT_NE(slow.line().find("  0.25 images/s"), std::string::npos);
}

TEST(Progress, BarFillsInProportion) {
  Moment moment = half_way();
  EXPECT_NE(moment.bar(120).find("[===============>              ]"), std::string::npos) << moment.bar(120);
  moment.fraction = 0;
  EXPECT_NE(moment.bar(120).find("  0% [>                             ]"), std::string::npos) << moment.bar(120);
  moment.fraction = 1;
  EXPECT_NE(moment.bar(120).find("100% [==============================]"), std::string::npos) << moment.bar(120);
  moment.fraction = 7;
  EXPECT_NE(moment.bar(120).find("100% [="), std::string::npos);
}

TEST(Progress, BarNeverExceedsTheWidthAndKeepsTheLabelLongest) {
  Moment moment = half_way();
  moment.label = "x\xc2\xb3, epoch 3/10";  // two bytes, one column
  for (std::size_t width = 0; width < 150; ++width) {
    std::string const bar = moment.bar(width);
    EXPECT_LE(detail::columns(bar), width);
    EXPECT_EQ(bar.substr(0, std::min<std::size_t>(bar.size(), 5)),
              std::string("x\xc2\xb3, epoch").substr(0, std::min<std::size_t>(bar.size(), 5)));
  }
  EXPECT_NE(moment.bar(80).find('['), std::string::npos);
  EXPECT_EQ(moment.bar(60).find('['), std::string::npos);
  EXPECT_NE(moment.bar(60).find("images/s"), std::string::npos);
  EXPECT_EQ(moment.bar(45).find("images/s"), std::string::npos);
  EXPECT_NE(moment.bar(45).find("1:23 left"), std::string::npos);
}

TEST(Progress, OnATerminalRedrawsOneLineAndTakesItAway) {
  std::ostringstream out;
  {
    Progress progress("train", 100, "images", 0, {.stream = &out, .terminal = true, .width = 60, .redraw_seconds = 0});
    progress.update(10, {{"loss", 1}});
    progress.update(20, {{"loss", 0.5}});
    EXPECT_EQ(out.str().find('\n'), std::string::npos);
    EXPECT_EQ(out.str().substr(0, 6), "\rtrain");
    EXPECT_NE(out.str().find(" 20%"), std::string::npos);
    progress.print("epoch 1: accuracy 0.8");
    std::string const printed = "\r\x1b[Kepoch 1: accuracy 0.8\n";
    EXPECT_EQ(out.str().substr(out.str().size() - printed.size()), printed);
    progress.update(30);
  }
  EXPECT_EQ(out.str().substr(out.str().size() - 4), "\r\x1b[K");
}

TEST(Progress, ElsewhereWritesPlainLinesWithoutControlCharacters) {
  std::ostringstream out;
  {
    Progress progress("train", 100, "images", 0, {.stream = &out, .terminal = false, .line_seconds = 0});
    progress.update(50, {{"loss", 1.5}});
    progress.print("done");
  }
  EXPECT_EQ(out.str().find_first_of("\r\x1b"), std::string::npos);
  EXPECT_EQ(out.str().substr(0, 22), "train  50%  loss 1.5  ");
  EXPECT_NE(out.str().find("left\ndone\n"), std::string::npos);
}

TEST(Progress, ShowsNoMoreOftenThanAskedFor) {
  std::ostringstream out;
  Progress progress("train", 1000, "images", 0,
                    {.stream = &out, .terminal = true, .width = 60, .redraw_seconds = 0.02});
  auto const start = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) {
    progress.update(i);
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::string const text = out.str();
  auto const redraws = std::count(text.begin(), text.end(), '\r');
  EXPECT_GE(redraws, 1);
  EXPECT_LE(static_cast<double>(redraws), seconds / 0.02 + 1);
}

TEST(Progress, WorkBeforeAResumptionCountsAsDoneButNotForTheRate) {
  std::ostringstream out;
  Progress progress("train", 1'000'000, "images", 500'000, {.stream = &out, .terminal = false, .line_seconds = 0});
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  progress.update(500'010);
  EXPECT_NE(out.str().find("50%"), std::string::npos);
  EXPECT_LE(progress.rate(), 1000);
  EXPECT_GT(progress.rate(), 0);
}

TEST(Progress, NothingToDoIsDone) {
  std::ostringstream out;
  Progress progress("train", 0, "images", 0, {.stream = &out, .terminal = false, .line_seconds = 0});
  progress.update(0);
  EXPECT_NE(out.str().find("100%"), std::string::npos);
}

}  // namespace
