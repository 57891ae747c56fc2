/// What can be drawn: line plots, heat maps and pictures, alone or as the panels of a figure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace attn::io {

/// An axis or colour range: lowest and highest value.
using Range = std::pair<double, double>;

/// How a curve is drawn.
enum class LineStyle { solid, dashed, points };

/// One curve: y over x, of the same length. NaN, and what a logarithmic axis cannot show, interrupts the curve. Beside
/// others it has marks, of another shape for each colour, so that no eye needs the colours.
struct Series {
  std::string label = {};  // for the legend; empty: not in it
  std::vector<double> x = {};
  std::vector<double> y = {};
  LineStyle style = LineStyle::solid;
  int color = -1;                // of eight that the colour-blind can tell apart; -1: the position among the series
  std::vector<double> low = {};  // with `high`: a band around the curve, one standard deviation over seeds, say
  std::vector<double> high = {};
};

/// Where the names of curves stand.
enum class Legend { none, below, top_left, top_right, bottom_left, bottom_right };

/// Curves over one pair of axes.
struct LinePlot {
  std::string title = {};
  std::string x_label = {};  // with its unit: "time (s)"
  std::string y_label = {};
  std::vector<Series> series = {};
  bool log_x = false;
  bool log_y = false;
  std::optional<Range> x_range = {};  // from the data when not given
  std::optional<Range> y_range = {};
  Legend legend = Legend::below;
};

/// Sequential colours for magnitudes, from dark to bright; diverging ones for values of both signs: blue is negative,
/// white is zero, red is positive.
enum class Colors { sequential, diverging };

/// A matrix in colours, row 0 at the top, with a colour bar.
struct HeatMap {
  std::string title = {};
  std::string x_label = {};      // along a row
  std::string y_label = {};      // along a column
  std::string value_label = {};  // beside the colour bar
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::vector<double> values = {};  // (rows, columns)
  Colors colors = Colors::sequential;
  std::optional<Range> range = {};  // from the data when not given; diverging colours make it symmetric
  // Coordinates of the centres of the cells on the edges, upwards along y; without them, the cells' numbers are shown.
  std::optional<Range> x_range = {};
  std::optional<Range> y_range = {};
  std::vector<std::string> names = {};  // of the cells along both axes, instead of their numbers; or none
};

/// The colour of a caption: black, green, red.
enum class Mark { none, good, bad };  // the colour of a caption: black, green, red

/// A photograph or drawing with a caption above it.
struct Picture {
  std::string caption = {};
  std::size_t channels = 1;  // 1 grey, 3 red-green-blue
  std::size_t height = 0;
  std::size_t width = 0;
  std::vector<std::uint8_t> pixels = {};  // (channels, height, width)
  Mark mark = Mark::none;
};

/// One panel of a figure.
using Panel = std::variant<LinePlot, HeatMap, Picture>;

/// Panels on a grid, row by row. All have one size, in points of 1/96 inch; PNG files get twice as many pixels.
struct Figure {
  std::string title = {};
  std::vector<Panel> panels = {};
  int columns = 0;  // 0: as square a grid as possible
  int panel_width = 480;
  int panel_height = 360;
};

}  // namespace attn::io
