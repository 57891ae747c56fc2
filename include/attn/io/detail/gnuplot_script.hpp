/// How a figure reads in gnuplot's language. Texts are quoted so that nothing in them is a command.
#pragma once

#include "attn/core/check.hpp"
#include "attn/io/figure.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace attn::io::detail {

inline std::string number(double value) {
  if (!std::isfinite(value)) return "NaN";
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

/// A gnuplot expression for a text: single quotes, in which only the quote itself is special; line ends are kept.
inline std::string quote(std::string_view text) {
  std::string quoted = "'";
  for (char const c : text) {
    if (c == '\'')
      quoted += "''";
    else if (c == '\n')
      quoted += "'.\"\\n\".'";
    else if (static_cast<unsigned char>(c) >= 0x20)
      quoted += c;
  }
  return quoted + "'";
}

/// Colours of Okabe and Ito (2008), the yellow darkened for white paper.
inline std::string series_color(int i) {
  static constexpr char const* colors[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                           "#56B4E9", "#E69F00", "#000000", "#B8A500"};
  return colors[static_cast<std::size_t>(i) % std::size(colors)];
}

/// Viridis (van der Walt and Smith 2015) at nine points, and a blue-white-red scale with even lightness on both sides.
inline std::string palette(Colors colors) {
  return colors == Colors::sequential
             ? "set palette defined (0 '#440154', 1 '#472d7b', 2 '#3b528b', 3 '#2c728e', 4 '#21918c', 5 '#28ae80', "
               "6 '#5ec962', 7 '#addc30', 8 '#fde725') maxcolors 0\n"
             : "set palette defined (0 '#053061', 1 '#2166ac', 2 '#4393c3', 3 '#92c5de', 4 '#d1e5f0', 5 '#ffffff', "
               "6 '#fddbc7', 7 '#f4a582', 8 '#d6604d', 9 '#b2182b', 10 '#67001f') maxcolors 0\n";
}

inline constexpr double base_points = 10;  // font size of labels and tics

/// Font size in points and number of lines of the captions of pictures.
struct Caption {
  double points;
  int lines;
};

inline std::string title(std::string const& text) { return "set title " + quote(text) + " noenhanced font ',11'\n"; }

inline std::string legend_place(Legend legend) {
  std::string const style = " Left reverse samplen 2.5 spacing 1.1 noenhanced\n";
  switch (legend) {
    case Legend::none:
      return "unset key\n";
    case Legend::below:
      return "set key outside center bottom horizontal height 0.6" + style;
    case Legend::top_left:
      return "set key inside left top vertical" + style;
    case Legend::top_right:
      return "set key inside right top vertical" + style;
    case Legend::bottom_left:
      return "set key inside left bottom vertical" + style;
    case Legend::bottom_right:
      break;
  }
  return "set key inside right bottom vertical" + style;
}

/// Lowest and highest finite value.
struct Span {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void include(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

/// Label, scale, tics and range of the axis `x` of a line plot that shows values of `span`. Values within a factor of
/// two stay on a linear scale, which then looks the same and has more tics to offer.
inline std::string axis(std::string const& x, std::string const& label, bool logarithmic, Span span,
                        std::optional<Range> const& range) {
  if (range) span = {range->first, range->second};
  logarithmic = logarithmic && (span.empty() || (span.low > 0 && span.high > 2 * span.low));
  bool const powers = logarithmic && span.high > 50 * span.low;
  std::string tics = " autofreq";
  std::string limits = range ? "[" + number(span.low) + ":" + number(span.high) + "]" : "[*:*]";
  if (span.empty()) {  // an axis without a value to show has no range of its own, and gnuplot would refuse it
    limits = "[0.1:1]";
  } else if (logarithmic && !powers) {  // gnuplot would label powers of ten only, of which there are few here
    double const margin = range ? 1 : 1.15;
    double const low = span.low / margin;
    double const high = span.high * margin;
    limits = "[" + number(low) + ":" + number(high) + "]";
    tics.clear();
    for (int exponent = int(std::floor(std::log10(low))); exponent <= std::log10(high); ++exponent) {
      for (int const digit : {1, 2, 3, 5, 7}) {
        if ((digit == 3 || digit == 7) && high > 8 * low) continue;
        tics += (tics.empty() ? "" : ", ") + number(digit * std::pow(10.0, exponent));
      }
    }
    tics = " (" + tics + ")";
  }
  return "set " + x + "label " + quote(label) + " noenhanced\nset " + x + "tics in mirror scale 1" + tics +
         (logarithmic ? "\nset logscale " : "\nunset logscale ") + x + "\nset format " + x +
         (powers ? " '10^{%T}'" : " '%h'") + "\nset " + x + "range " + limits + "\n";
}

inline std::string panel_script(LinePlot const& plot, std::string const& name, Caption) {
  auto const shown = [&](double x, double y) {
    return std::isfinite(x) && std::isfinite(y) && (!plot.log_x || x > 0) && (!plot.log_y || y > 0);
  };
  std::string data;
  std::string curves;
  std::string bands;
  Span x_span;
  Span y_span;
  for (std::size_t s = 0; s < plot.series.size(); ++s) {
    Series const& series = plot.series[s];
    bool const band = !series.low.empty() || !series.high.empty();
    std::size_t const n = series.x.size();
    ATTN_CHECK(series.y.size() == n && (!band || (series.low.size() == n && series.high.size() == n)),
               "save_figure: give series '", series.label, "' of '", plot.title, "' as many y as x, got ",
               series.y.size(), " and ", n);
    std::string const block = "$" + name + "_" + std::to_string(s);
    data += block + " << END_OF_DATA\n";
    for (std::size_t i = 0; i < n; ++i) {
      bool const good = shown(series.x[i], series.y[i]);
      if (good) x_span.include(series.x[i]);
      if (good) y_span.include(series.y[i]);
      data += good ? number(series.x[i]) + " " + number(series.y[i]) : std::string("NaN NaN");
      if (band) data += " " + number(series.low[i]) + " " + number(series.high[i]);
      data += "\n";
    }
    if (n == 0) data += "NaN NaN NaN NaN\n";
    data += "END_OF_DATA\n";
    std::string const color = series_color(series.color < 0 ? static_cast<int>(s) : series.color);
    std::string const source = std::string(curves.empty() ? "" : ", ") + block;
    if (band) {
      bands += block + " using 1:3:4 with filledcurves fillcolor rgb '" + color +
               "' fillstyle transparent solid 0.18 noborder notitle, ";
    }
    bool const few = n <= 12;  // so few that each deserves a mark; a single one would be invisible without
    std::string const style = series.style == LineStyle::points ? "points pt 7 ps 0.6"
                              : few                             ? "linespoints lw 2 pt 7 ps 0.5"
                                                                : "lines lw 2";
    curves += source + " using 1:2 with " + style + (series.style == LineStyle::dashed ? " dt 2" : "") +
              " linecolor rgb '" + color + "' " +
              (series.label.empty() ? std::string("notitle") : "title " + quote(series.label));
  }
  std::string script = data + title(plot.title);
  script += axis("x", plot.x_label, plot.log_x, x_span, plot.x_range);
  script += axis("y", plot.y_label, plot.log_y, y_span, plot.y_range);
  script += legend_place(plot.legend) + "set size noratio\nset grid back linetype 1 linecolor rgb '#dcdcdc' lw 0.7\n";
  script += curves.empty() ? "plot NaN notitle\n" : "plot " + bands + curves + "\n";
  return script;
}

/// Label, tics and range of an axis along `count` cells; `downwards` for rows.
inline std::string index_axis(std::string const& x, std::string const& label, std::size_t count, bool downwards) {
  std::size_t step = 1;
  for (int i = 0; step * 5 < count; ++i) step = i % 3 == 1 ? step / 2 * 5 : step * 2;  // 1, 2, 5, 10, 20, 50, ...
  std::string const end = number(static_cast<double>(count) - 0.5);
  return "set " + x + "label " + quote(label) + " noenhanced\nset " + x + "tics out nomirror scale 0.5 0," +
         std::to_string(step) + "\nunset logscale " + x + "\nset format " + x + " '%h'\nset " + x + "range " +
         (downwards ? "[" + end + ":-0.5]" : "[-0.5:" + end + "]") + "\n";
}

inline std::string panel_script(HeatMap const& map, std::string const& name, Caption) {
  ATTN_CHECK(map.rows > 0 && map.columns > 0 && map.values.size() == map.rows * map.columns, "save_figure: give '",
             map.title, "' rows x columns values, got ", map.values.size(), " for ", map.rows, " x ", map.columns);
  Span span;
  std::string script = "$" + name + " << END_OF_DATA\n";
  for (std::size_t i = 0; i < map.values.size(); ++i) {
    span.include(map.values[i]);
    script += number(map.values[i]) + ((i + 1) % map.columns == 0 ? "\n" : " ");
  }
  script += "END_OF_DATA\n";
  auto [low, high] = map.range ? *map.range : span.empty() ? Range{0, 0} : Range{span.low, span.high};
  if (map.colors == Colors::diverging) {
    high = std::max(std::abs(low), std::abs(high));
    low = -high;
  }
  if (low == high) {  // a constant matrix still needs a scale
    double const margin = high == 0 ? 1 : 0.1 * std::abs(high);
    low -= margin;
    high += margin;
  }
  script += palette(map.colors) + title(map.title) + "unset key\nunset grid\nset size ratio -1\n";
  script += index_axis("x", map.x_label, map.columns, false) + index_axis("y", map.y_label, map.rows, true);
  script += "set cblabel " + quote(map.value_label) + " noenhanced offset 0.5,0\nset cbrange [" + number(low) + ":" +
            number(high) + "]\n";
  script += "set format cb '%.2g'\nset colorbox\nset cbtics out nomirror scale 0.5\n";
  return script + "plot $" + name + " matrix using 1:2:3 with image notitle\n";
}

inline std::string panel_script(Picture const& picture, std::string const& name, Caption caption) {
  std::size_t const plane = picture.height * picture.width;
  ATTN_CHECK((picture.channels == 1 || picture.channels == 3) && plane > 0 &&
                 picture.pixels.size() == picture.channels * plane,
             "save_figure: give picture '", picture.caption, "' 1 or 3 x height x width pixels, got ",
             picture.pixels.size(), " for ", picture.channels, " x ", picture.height, " x ", picture.width);
  std::string script = "$" + name + " << END_OF_DATA\n";
  for (std::size_t i = 0; i < plane; ++i) {
    script += std::to_string(i % picture.width) + " " + std::to_string(i / picture.width);
    for (std::size_t c = 0; c < 3; ++c) {
      script += " " + std::to_string(picture.pixels[(picture.channels == 3 ? c : 0) * plane + i]);
    }
    script += "\n";
  }
  script += "END_OF_DATA\n";
  char const* const color = picture.mark == Mark::none ? "#000000" : picture.mark == Mark::good ? "#007a4d" : "#c02000";
  script += "set title " + quote(picture.caption) + " noenhanced textcolor rgb '" + color + "' offset 0,-0.6 font '," +
            number(caption.points) +
            "'\nunset key\nunset grid\nunset xtics\nunset ytics\nset size ratio -1\nunset xlabel\n" +
            "unset ylabel\nset border 15 linecolor rgb '#b0b0b0'\nunset logscale\nset margins 0.5,0.5,0.5," +
            number(0.6 + caption.lines * caption.points / base_points) + "\n";
  script += "set xrange [-0.5:" + number(static_cast<double>(picture.width) - 0.5) + "]\nset yrange [" +
            number(static_cast<double>(picture.height) - 0.5) + ":-0.5]\n";
  script += "plot $" + name + " using 1:2:3:4:5 with rgbimage notitle\n";
  return script + "set border 31 linecolor rgb 'black'\nset margins -1,-1,-1,-1\n" +
         "set title textcolor rgb 'black' offset 0,0\n";
}

/// What all captions of a figure share, so that its pictures line up: the longest fits above its picture.
inline Caption captions(Figure const& figure) {
  std::size_t longest = 1;
  Caption caption{9, 1};
  for (Panel const& panel : figure.panels) {
    Picture const* const picture = std::get_if<Picture>(&panel);
    if (picture == nullptr) continue;
    int lines = 1;
    std::size_t letters = 0;
    for (char const c : picture->caption) {
      bool const starts_letter = (static_cast<unsigned char>(c) & 0xc0) != 0x80;  // counts UTF-8 sequences once
      letters = c == '\n' ? 0 : letters + (starts_letter ? 1 : 0);
      lines += c == '\n' ? 1 : 0;
      longest = std::max(longest, letters);
    }
    caption.lines = std::max(caption.lines, lines);
  }
  double const letter_width = 0.6 * 96.0 / 72.0;  // of DejaVu Sans, in pixels a point of font size
  double const fitting = figure.panel_width / (letter_width * static_cast<double>(longest));
  caption.points = std::clamp(fitting, 5.0, 9.0);
  return caption;
}

/// The whole program: `terminal` is "pngcairo" or "svg", `output` the file that gnuplot writes.
inline std::string script(Figure const& figure, std::string const& terminal, std::string const& output) {
  int const n = static_cast<int>(figure.panels.size());
  ATTN_CHECK(n > 0, "save_figure: give the figure at least one panel");
  int const square = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(n))));
  int const columns = std::min(n, figure.columns > 0 ? figure.columns : square);
  int const rows = (n + columns - 1) / columns;
  int const scale = terminal == "svg" ? 1 : 2;
  int const title_height = figure.title.empty() ? 0 : 34;
  int const width = columns * figure.panel_width;
  int const height = rows * figure.panel_height + title_height;
  std::string text = "set encoding utf8\nset terminal " + terminal + " size " + std::to_string(scale * width) + "," +
                     std::to_string(scale * height) + " font 'DejaVu Sans," + number(base_points) +
                     "' enhanced background rgb 'white'";
  text += scale == 2 ? " fontscale 2 linewidth 2 pointscale 2\n" : "\n";
  text += "set output " + quote(output) + "\nset datafile missing 'NaN'\nset tics front\nset multiplot\n";
  text += "set label 1 " + quote(figure.title) + " at screen 0.5, screen " + number(1 - 18.0 / height) +
          " center noenhanced font ',13'\n";
  Caption const caption = captions(figure);
  for (int i = 0; i < n; ++i) {
    double const bottom = static_cast<double>((rows - 1 - i / columns) * figure.panel_height) / height;
    text += "set origin " + number(double(i % columns) / columns) + "," + number(bottom) + "\nset size " +
            number(1.0 / columns) + "," + number(double(figure.panel_height) / height) + "\n";
    std::string const name = "panel" + std::to_string(i);
    text += std::visit([&](auto const& panel) { return panel_script(panel, name, caption); },
                       figure.panels[static_cast<std::size_t>(i)]);
    text += "unset label 1\n";
  }
  return text + "unset multiplot\nunset output\n";
}

}  // namespace attn::io::detail
