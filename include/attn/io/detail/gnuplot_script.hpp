/// How a figure reads in gnuplot's language: its panels, and where they lie.
#pragma once

#include "attn/core/check.hpp"
#include "attn/io/detail/gnuplot_axes.hpp"
#include "attn/io/figure.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <variant>

namespace attn::io::detail {

inline std::string panel_script(LinePlot const& plot, std::string const& name, Caption) {
  auto const shown = [&](double x, double y) {
    return std::isfinite(x) && std::isfinite(y) && (!plot.log_x || x > 0) && (!plot.log_y || y > 0);
  };
  std::string data;
  std::string curves;
  std::string bands;
  Span x_span;
  Span y_span;
  bool const has_lines = std::any_of(plot.series.begin(), plot.series.end(),
                                     [](Series const& series) { return series.style != LineStyle::points; });
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
      if (band) data.append(" ").append(number(series.low[i])).append(" ").append(number(series.high[i]));
      data += '\n';
    }
    if (n == 0) data += "NaN NaN NaN NaN\n";
    data += "END_OF_DATA\n";
    int const which = series.color < 0 ? static_cast<int>(s) : series.color;
    std::string const color = series_color(which);
    std::string const source = std::string(curves.empty() ? "" : ", ") + block;
    if (band) {
      bands += block + " using 1:3:4 with filledcurves fillcolor rgb '" + color +
               "' fillstyle transparent solid 0.18 noborder notitle, ";
    }
    bool const few = n <= 12;  // so few that each deserves a mark; a single one would be invisible without
    bool const is_points = series.style == LineStyle::points;
    std::string const mark = " pt " + std::to_string(series_mark(which, is_points && has_lines));
    std::string const style = is_points ? "points" + mark + " ps 0.9 lw 1.5"
                              : few     ? "linespoints lw 2" + mark + " ps 0.6"
                              : plot.series.size() > 1
                                  ? "linespoints lw 2" + mark + " ps 0.6 pi " + std::to_string(n / 8)
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

/// gnuplot draws no image with a single row or column: its cells are drawn as 2 x 2 parts each.
inline std::size_t parts_of_cell(std::size_t rows, std::size_t columns) { return rows < 2 || columns < 2 ? 2 : 1; }

/// Where part 0, 1, ... of the cells lie, in units of cells: gnuplot's columns 1 and 2 count parts.
inline std::string cell_centers(std::size_t parts) { return parts == 1 ? "1:2" : "($1/2-0.25):($2/2-0.25)"; }

inline std::string panel_script(HeatMap const& map, std::string const& name, Caption) {
  ATTN_CHECK(map.rows > 0 && map.columns > 0 && map.values.size() == map.rows * map.columns, "save_figure: give '",
             map.title, "' rows x columns values, got ", map.values.size(), " for ", map.rows, " x ", map.columns);
  Span span;
  std::string script = "$" + name + " << END_OF_DATA\n";
  std::size_t const parts = parts_of_cell(map.rows, map.columns);
  for (std::size_t y = 0; y < parts * map.rows; ++y) {
    for (std::size_t x = 0; x < parts * map.columns; ++x) {
      double const value = map.values[y / parts * map.columns + x / parts];
      span.include(value);
      script += number(value) + " ";
    }
    script += "\n";
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
  ATTN_CHECK(map.names.empty() || (map.names.size() == map.rows && map.rows == map.columns), "save_figure: give '",
             map.title, "' a name for each of its ", map.rows, " rows and columns, got ", map.names.size());
  script += index_axis("x", map.x_label, map.columns, false, map.x_range, map.names) +
            index_axis("y", map.y_label, map.rows, true, map.y_range, map.names);
  script += "set cblabel " + quote(map.value_label) + " noenhanced offset 0.5,0\nset cbrange [" + number(low) + ":" +
            number(high) + "]\n";
  script += "set format cb '%.2g'\nset colorbox\nset cbtics out nomirror scale 0.5\n";
  return script + "plot $" + name + " matrix using " + cell_centers(parts) + ":3 with image notitle\n";
}

inline std::string panel_script(Picture const& picture, std::string const& name, Caption caption) {
  std::size_t const plane = picture.height * picture.width;
  ATTN_CHECK((picture.channels == 1 || picture.channels == 3) && plane > 0 &&
                 picture.pixels.size() == picture.channels * plane,
             "save_figure: give picture '", picture.caption, "' 1 or 3 x height x width pixels, got ",
             picture.pixels.size(), " for ", picture.channels, " x ", picture.height, " x ", picture.width);
  std::string script = "$" + name + " << END_OF_DATA\n";
  std::size_t const parts = parts_of_cell(picture.height, picture.width);
  for (std::size_t y = 0; y < parts * picture.height; ++y) {
    for (std::size_t x = 0; x < parts * picture.width; ++x) {
      script += std::to_string(x) + " " + std::to_string(y);
      std::size_t const pixel = y / parts * picture.width + x / parts;
      for (std::size_t c = 0; c < 3; ++c) {
        script += ' ';
        script += std::to_string(picture.pixels[(picture.channels == 3 ? c : 0) * plane + pixel]);
      }
      script += "\n";
    }
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
  script += "plot $" + name + " using " + cell_centers(parts) + ":3:4:5 with rgbimage notitle\n";
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

/// The whole program: `terminal` is "pngcairo" or "svg"; gnuplot draws to its standard output.
inline std::string script(Figure const& figure, std::string const& terminal) {
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
  text += "set datafile missing 'NaN'\nset tics front\nset multiplot\n";
  text += "set label 1 " + quote(figure.title) + " at screen 0.5, screen " + number(1 - 18.0 / height) +
          " center noenhanced font ',13'\n";
  Caption const caption = captions(figure);
  for (int i = 0; i < n; ++i) {
    int const rows_below = rows - 1 - i / columns;
    double const bottom = static_cast<double>(rows_below * figure.panel_height) / height;
    text += "set origin " + number(double(i % columns) / columns) + "," + number(bottom) + "\nset size " +
            number(1.0 / columns) + "," + number(double(figure.panel_height) / height) + "\n";
    std::string const name = "panel" + std::to_string(i);
    text += std::visit([&](auto const& panel) { return panel_script(panel, name, caption); },
                       figure.panels[static_cast<std::size_t>(i)]);
    text += "unset label 1\n";
  }
  return text + "unset multiplot\n";
}

}  // namespace attn::io::detail
