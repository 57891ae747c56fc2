#include "attn/io/plot.hpp"

#include <gtest/gtest.h>
#include <png.h>
#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "io/files.hpp"

namespace {

using namespace attn::testing;
using namespace attn::io;

/// The pixels of a PNG file as red-green-blue.
struct Image {
  explicit Image(Path const& path) {
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    EXPECT_NE(png_image_begin_read_from_file(&image, path.c_str()), 0) << path;
    image.format = PNG_FORMAT_RGB;
    width = image.width;
    height = image.height;
    pixels.resize(PNG_IMAGE_SIZE(image));
    EXPECT_NE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr), 0);
  }
  std::uint32_t at(std::size_t x, std::size_t y) const {
    std::uint8_t const* const p = pixels.data() + 3 * (y * width + x);
    return std::uint32_t(p[0]) << 16 | std::uint32_t(p[1]) << 8 | p[2];
  }
  std::size_t count(std::uint32_t color) const {
    std::size_t n = 0;
    for (std::size_t i = 0; i < width * height; ++i) n += at(i % width, i / width) == color;
    return n;
  }
  std::size_t width = 0, height = 0;
  std::vector<std::uint8_t> pixels;
};

LinePlot loss_curves() {
  LinePlot plot{.title = "Loss of a_b", .x_label = "epoch", .y_label = "loss (nats)"};
  for (int s = 0; s < 3; ++s) {
    Series series{.label = "run_" + std::to_string(s)};
    for (int i = 1; i <= 40; ++i) {
      series.x.push_back(i);
      series.y.push_back(std::exp(-i * 0.1 * (s + 1)));
    }
    plot.series.push_back(series);
  }
  return plot;
}

class Plot : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("gnuplot --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "gnuplot is not installed";
  }
  TemporaryDirectory directory;
  Path png = directory / "figure.png";
};

TEST_F(Plot, DrawsEverySeriesInItsColour) {
  save_figure(png, {.panels = {loss_curves()}, .panel_width = 300, .panel_height = 200});
  Image const image(png);
  EXPECT_EQ(image.width, 600u);
  EXPECT_EQ(image.height, 400u);
  for (std::uint32_t const color : {0x0072B2u, 0xD55E00u, 0x009E73u}) EXPECT_GT(image.count(color), 100u);
  EXPECT_EQ(image.count(0xCC79A7), 0u);
  EXPECT_EQ(directory.entries(), 1);
}

TEST_F(Plot, PutsPanelsOnAGrid) {
  Figure figure{.title = "Six", .panels = {}, .columns = 3, .panel_width = 200, .panel_height = 150};
  for (int i = 0; i < 6; ++i) figure.panels.emplace_back(loss_curves());
  save_figure(png, figure);
  Image const image(png);
  EXPECT_EQ(image.width, 2u * 600);
  EXPECT_EQ(image.height, 2u * (2 * 150 + 34));
}

TEST_F(Plot, LogarithmicAxesSurviveZerosNegativesAndNan) {
  LinePlot plot = loss_curves();
  plot.log_x = plot.log_y = true;
  plot.series[0].y[3] = 0;
  plot.series[1].y[4] = -1;
  plot.series[2].y[5] = std::numeric_limits<double>::quiet_NaN();
  plot.series[2].x[6] = std::numeric_limits<double>::infinity();
  save_figure(png, {.panels = {plot}});
  EXPECT_GT(Image(png).count(0x0072B2), 100u);
}

TEST_F(Plot, NothingToShowIsStillAFigure) {
  LinePlot const empty{.title = "no series"};
  LinePlot const no_points{.title = "no points", .series = {{.label = "a"}}, .log_y = true};
  LinePlot const all_nan{.series = {{.label = "a", .x = {1, 2}, .y = {NAN, NAN}}}};
  LinePlot const constant{.series = {{.label = "a", .x = {1, 2}, .y = {3, 3}}}, .log_y = true};
  LinePlot const point{.series = {{.label = "a", .x = {1}, .y = {3}}}};
  HeatMap const flat{.rows = 2, .columns = 2, .values = {0, 0, 0, 0}};
  HeatMap const undefined{.rows = 1, .columns = 1, .values = {NAN}, .colors = Colors::diverging};
  save_figure(png, {.panels = {empty, no_points, all_nan, constant, point, flat, undefined}});
  EXPECT_GT(Image(png).count(0x0072B2), 20u);
}

TEST_F(Plot, HeatMapHasRowZeroAtTheTopAndWhiteZero) {
  HeatMap const map{.rows = 2, .columns = 2, .values = {-1, 0, 0, 1}, .colors = Colors::diverging};
  save_figure(png, {.panels = {map}, .panel_width = 300, .panel_height = 300});
  Image const image(png);
  std::size_t blue_x = 0, blue_y = 0, red_x = 0, red_y = 0, blue = 0, red = 0;
  for (std::size_t y = 0; y < image.height; ++y) {
    for (std::size_t x = 0; x < image.width * 3 / 4; ++x) {  // the colour bar is to the right
      if (image.at(x, y) == 0x053061) blue_x += x, blue_y += y, ++blue;
      if (image.at(x, y) == 0x67001f) red_x += x, red_y += y, ++red;
    }
  }
  ASSERT_GT(blue, 1000u);
  ASSERT_GT(red, 1000u);
  EXPECT_LT(blue_x / blue, red_x / red);
  EXPECT_LT(blue_y / blue, red_y / red);
}

TEST_F(Plot, HeatMapShowsCoordinatesWhereItHasThem) {
  Path const svg = directory / "figure.svg";
  HeatMap const map{.rows = 5,
                    .columns = 3,
                    .values = std::vector<double>(15, 1.0),
                    .x_range = Range{0, 6.2832},
                    .y_range = Range{-1, 1}};
  save_figure(svg, {.panels = {map}});
  std::string const text = content(svg);
  for (char const* tic : {"1.57", "3.14", "4.71", "6.28", "-0.5", "0.5"}) {
    EXPECT_NE(text.find(std::string(">") + tic), std::string::npos) << tic;
  }
}

TEST_F(Plot, HeatMapShowsNamesWhereItHasThem) {
  Path const svg = directory / "figure.svg";
  save_figure(svg, {.panels = {HeatMap{.rows = 2, .columns = 2, .values = {1, 2, 3, 4}, .names = {"Bag", "Ankle boot"}},
                               loss_curves()}});
  std::string const text = content(svg);
  for (char const* name : {"Bag", "Ankle boot"}) EXPECT_NE(text.find(name), text.rfind(name)) << name;
  EXPECT_ERROR(save_figure(svg, {.panels = {HeatMap{.rows = 1, .columns = 1, .values = {1}, .names = {"a", "b"}}}}),
               "a name for each of its 1 rows and columns, got 2");
}

TEST(PlotWithoutColours, CurvesSideBySideHaveMarksOfTheirOwn) {
  std::string const text = detail::script({.panels = {loss_curves()}}, "svg");
  for (char const* mark : {" pt 7 ", " pt 5 ", " pt 9 "}) EXPECT_NE(text.find(mark), std::string::npos) << mark;
}

TEST_F(Plot, PicturesKeepTheirPixels) {
  Picture grey{.caption = "Bag\n(true: Coat)",
               .height = 2,
               .width = 3,
               .pixels = {0, 50, 100, 150, 200, 250},
               .mark = Mark::bad};
  Picture color{.caption = "c", .channels = 3, .height = 1, .width = 1, .pixels = {10, 20, 30}, .mark = Mark::good};
  save_figure(png, {.panels = {grey, color}, .panel_width = 150, .panel_height = 150});
  Image const image(png);
  for (std::uint32_t const value : {0u, 50u, 100u, 150u, 200u, 250u}) EXPECT_GT(image.count(value * 0x010101u), 500u);
  EXPECT_GT(image.count(0x0a141e), 500u);
  EXPECT_GT(image.count(0xc02000), 20u);  // the caption of the wrong one
}

TEST_F(Plot, TextIsNeverACommand) {
  Path const victim = directory / "victim";
  std::string const evil = "it's \"; `touch " + victim.string() + "` \\ %d {a}_b^c\n$x";
  LinePlot plot = loss_curves();
  plot.title = plot.x_label = plot.series[0].label = evil;
  HeatMap const map{
      .title = evil, .x_label = evil, .value_label = evil, .rows = 1, .columns = 1, .values = {1}, .names = {evil}};
  Picture const picture{.caption = evil, .height = 1, .width = 1, .pixels = {1}};
  save_figure(directory / "it's.png", {.title = evil, .panels = {plot, map, picture}});
  EXPECT_FALSE(std::filesystem::exists(victim));
  EXPECT_EQ(directory.entries(), 1);
}

TEST_F(Plot, HeatMapMayHaveASingleRow) {
  HeatMap const row{.rows = 1, .columns = 3, .values = {-1, 0, 1}, .colors = Colors::diverging};
  save_figure(png, {.panels = {row}, .panel_width = 300, .panel_height = 200});
  EXPECT_GT(Image(png).count(0x053061), 1000u);
  EXPECT_GT(Image(png).count(0x67001f), 1000u);
}

TEST_F(Plot, WritesSvgWithTheTextsInIt) {
  Path const svg = directory / "figure.svg";
  HeatMap const map{.title = "weights", .rows = 1, .columns = 2, .values = {1, 2}};
  save_figure(svg, {.panels = {loss_curves(), map}});
  std::string const text = content(svg);
  EXPECT_NE(text.find("Loss of a_b"), std::string::npos);
  EXPECT_NE(text.find("image-rendering:pixelated"), std::string::npos);
  EXPECT_NE(text.find("</svg>"), std::string::npos);
}

TEST_F(Plot, InconsistentFiguresAreErrors) {
  LinePlot plot = loss_curves();
  plot.series[1].y.pop_back();
  EXPECT_ERROR(save_figure(png, {.panels = {plot}}),
               "give series 'run_1' of 'Loss of a_b' as many y as x, got 39 and 40");
  EXPECT_ERROR(save_figure(png, {.panels = {HeatMap{.title = "m", .rows = 2, .columns = 2, .values = {1}}}}),
               "got 1 for 2 x 2");
  EXPECT_ERROR(save_figure(png, {.panels = {Picture{.channels = 2, .height = 1, .width = 1, .pixels = {1, 2}}}}),
               "1 or 3 x height");
  EXPECT_ERROR(save_figure(png, {}), "at least one panel");
  EXPECT_ERROR(save_figure(directory / "figure.jpg", {.panels = {plot}}), "name the file .png or .svg");
  EXPECT_EQ(directory.entries(), 0);
}

TEST_F(Plot, UnwritableOrFullTargetKeepsTheOldFigure) {
  EXPECT_ERROR(save_figure(directory / "no/figure.png", {.panels = {loss_curves()}}), "No such file or directory");
  put(png, "old");
  {
    FileSizeLimit const limit(100);
    EXPECT_ERROR(save_figure(png, {.panels = {loss_curves()}}), "save_figure: ");
  }
  EXPECT_EQ(content(png), "old");
  EXPECT_EQ(directory.entries(), 1);
}

/// The programs of a directory go before all others while this lives.
class ProgramsOf {
 public:
  explicit ProgramsOf(Path const& directory) : before_(::getenv("PATH")) {
    ::setenv("PATH", (directory.string() + ":" + before_).c_str(), 1);
  }
  ~ProgramsOf() { ::setenv("PATH", before_.c_str(), 1); }

 private:
  std::string before_;
};

TEST(PlotOfAKilledProgram, GnuplotIsToldOfNoFileThatItCouldLeaveBehind) {
  TemporaryDirectory const directory, programs;
  Path const gnuplot = programs / "gnuplot", script = programs / "script", files = programs / "files";
  put(gnuplot, "#!/bin/sh\ncat > '" + script.string() + "'\nls -A '" + directory.path().string() + "' > '" +
                   files.string() + "'\necho IEND\n");
  std::filesystem::permissions(gnuplot, std::filesystem::perms::owner_all);
  ProgramsOf const fake(programs.path());
  save_figure(directory / "a.png", {.panels = {loss_curves()}});
  EXPECT_EQ(content(directory / "a.png"), "IEND\n");
  std::string const names = content(files);  // only that of the figure itself, which a lock protects
  EXPECT_EQ(std::count(names.begin(), names.end(), '\n'), 1) << names;
  EXPECT_EQ(content(script).find(directory.path().string()), std::string::npos);
}

TEST(PlotWithoutGnuplot, IsAnErrorThatNamesThePackageOrAWarning) {
  TemporaryDirectory const directory;
  std::string const path = ::getenv("PATH");
  ::setenv("PATH", directory.path().c_str(), 1);
  EXPECT_ERROR(save_figure(directory / "a.png", {.panels = {loss_curves()}}), "apt install gnuplot-nox");
  ::testing::internal::CaptureStderr();
  EXPECT_FALSE(try_save_figure(directory / "a.png", {.panels = {loss_curves()}}));
  EXPECT_FALSE(try_save_figure(directory / "b.png", {.panels = {loss_curves()}}));
  std::string const warning = ::testing::internal::GetCapturedStderr();
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_NE(warning.find("warning: save_figure: install gnuplot"), std::string::npos);
  EXPECT_EQ(warning.find("b.png"), std::string::npos);
  EXPECT_EQ(directory.entries(), 0);
}

}  // namespace
