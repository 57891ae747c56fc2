/// How texts, colours and axes read in gnuplot's language. Texts are quoted so that nothing in them is a command.
#pragma once

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
    if (c == '\'') {
      quoted += "''";
    } else if (c == '\n') {
      quoted += R"('."\n".')";
    } else if (static_cast<unsigned char>(c) >= 0x20) {
      quoted += c;
    }
  }
  return quoted + "'";
}

/// The same as the label of a tic, which is one line, and a format in which only the percent sign is special.
inline std::string tic_label(std::string_view text) {
  std::string label;
  for (char const c : text) label += c == '%' ? "%%" : std::string(1, c == '\n' ? ' ' : c);
  return quote(label);
}

/// Colours of Okabe and Ito (2008), the yellow darkened for white paper.
inline std::string series_color(int i) {
  static constexpr char const* colors[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                           "#56B4E9", "#E69F00", "#000000", "#B8A500"};
  return colors[static_cast<std::size_t>(i) % std::size(colors)];
}

/// The mark of a colour: a circle, square, triangle, diamond, triangle downwards or pentagon, filled or open.
inline int series_mark(int i, bool open) {
  static constexpr int filled[] = {7, 5, 9, 13, 11, 15};
  return filled[static_cast<std::size_t>(i) % std::size(filled)] - (open ? 1 : 0);
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

/// Lowest and highest finite value, and whether all are whole numbers (epochs, say).
struct Span {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  bool whole = true;

  void include(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
    whole = whole && value == std::floor(value);
  }
  bool empty() const { return low > high; }
};

/// Label, scale, tics and range of the axis `x` of a line plot that shows values of `span`. Values within a factor of
/// two stay on a linear scale, which then looks the same and has more tics to offer.
inline std::string axis(std::string const& x, std::string const& label, bool logarithmic, Span span,
                        std::optional<Range> const& range) {
  if (range) span = {range->first, range->second, span.whole};
  logarithmic = logarithmic && (span.empty() || (span.low > 0 && span.high > 2 * span.low));
  bool const powers = logarithmic && span.high > 50 * span.low;
  bool const few = span.whole && span.high - span.low <= 10;  // where gnuplot would mark halves between them
  std::string tics = few && !logarithmic ? " 1" : " autofreq";
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
  return "set " + x + "label " + quote(label) + " noenhanced\nset " + x + "tics in mirror scale 1 norotate" + tics +
         (logarithmic ? "\nset logscale " : "\nunset logscale ") + x + "\nset format " + x +
         (powers ? " '10^{%T}'" : " '%h'") + "\nset " + x + "range " + limits + "\n";
}

/// Label, tics and range of an axis along `count` cells; `downwards` for rows. With `coordinates`, of the centres of
/// the cells at its left and right, or lower and upper end, tics are at quarters of them; with names, at each cell.
inline std::string index_axis(std::string const& x, std::string const& label, std::size_t count, bool downwards,
                              std::optional<Range> const& coordinates, std::vector<std::string> const& names = {}) {
  std::string tics;
  if (!names.empty()) {
    tics = downwards ? "norotate (" : "rotate by 45 right (";
    for (std::size_t i = 0; i < names.size(); ++i) {
      tics += std::string(i == 0 ? "" : ", ") + tic_label(names[i]) + " " + number(static_cast<double>(i));
    }
    tics += ") noenhanced";
  } else if (coordinates && count > 1) {
    for (int i = 0; i <= 4; ++i) {
      char text[32];
      double const share = i / 4.0, last = static_cast<double>(count - 1);
      std::snprintf(text, sizeof text, "%.3g", coordinates->first + share * (coordinates->second - coordinates->first));
      tics += std::string(i == 0 ? "(" : ", ") + "'" + text + "' " + number((downwards ? 1 - share : share) * last);
    }
    tics += ")";
  } else {
    std::size_t step = 1;
    for (int i = 0; step * 5 < count; ++i) step = i % 3 == 1 ? step / 2 * 5 : step * 2;  // 1, 2, 5, 10, 20, 50, ...
    tics = "0," + std::to_string(step);
  }
  if (names.empty()) tics = "norotate " + tics;
  std::string const end = number(static_cast<double>(count) - 0.5);
  return "set " + x + "label " + quote(label) + " noenhanced\nset " + x + "tics out nomirror scale 0.5 " + tics +
         "\nunset logscale " + x + "\nset format " + x + " '%h'\nset " + x + "range " +
         (downwards ? "[" + end + ":-0.5]" : "[-0.5:" + end + "]") + "\n";
}

}  // namespace attn::io::detail
