/// Figures as PNG or SVG files, drawn by the gnuplot program.
#pragma once

#include "attn/io/detail/gnuplot.hpp"
#include "attn/io/detail/gnuplot_script.hpp"
#include "attn/io/figure.hpp"
#include "attn/io/file.hpp"

#include <cctype>
#include <cstddef>
#include <iostream>
#include <string>
#include <string_view>

namespace attn::io {

namespace detail {

/// The first words of what a program complained about, on one line.
inline std::string summary(std::string const& complaints) {
  std::string text;
  for (char const c : complaints) {
    bool const space = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (!space) {
      text += c;
    } else if (!text.empty() && text.back() != ' ') {
      text += ' ';
    }
    if (text.size() == 300) break;
  }
  return text;
}

/// Enlarged pixels stay squares in every viewer; gnuplot leaves that to the viewer's taste.
inline std::string with_sharp_pixels(std::string svg) {
  std::string_view const tag = "<image ";
  std::string_view const style = "style='image-rendering:pixelated' ";
  for (std::size_t at = svg.find(tag); at != std::string::npos; at = svg.find(tag, at + tag.size())) {
    svg.insert(at + tag.size(), style);
  }
  return svg;
}

}  // namespace detail

/// Draws a figure into a file whose name ends in ".png" or ".svg"; the file appears complete or not at all. Throws
/// when the figure is inconsistent, the file cannot be written, or gnuplot is missing or fails.
inline void save_figure(Path const& path, Figure const& figure) {
  bool const svg = path.extension() == ".svg";
  ATTN_CHECK(svg || path.extension() == ".png", "save_figure: name the file .png or .svg, not '", path.string(), "'");
  AtomicFile target(path);  // first, because its errors say more than gnuplot's
  detail::ProgramExit exit = detail::run_gnuplot(detail::script(figure, svg ? "svg" : "pngcairo"));
  ATTN_CHECK(exit.found, "save_figure: install gnuplot to draw '", path.string(),
             "' (Debian: apt install gnuplot-nox)");
  // gnuplot reports a full disk only by a file without an end.
  bool const complete = exit.drawing.find(svg ? "</svg>" : "IEND") != std::string::npos;
  ATTN_CHECK(exit.code == 0 && complete, "save_figure: gnuplot could not draw '", path.string(),
             "', is the disk full? It said: ", detail::summary(exit.complaints));
  target.write(svg ? detail::with_sharp_pixels(std::move(exit.drawing)) : exit.drawing);
  target.commit();
}

/// As `save_figure`, but a figure that cannot be drawn is a warning on the standard error and `false`, so that no run
/// is lost for the lack of a picture. A missing gnuplot is mentioned once.
inline bool try_save_figure(Path const& path, Figure const& figure) {
  static bool mentioned_gnuplot = false;
  try {
    save_figure(path, figure);
    return true;
  } catch (Error const& error) {
    std::string_view const text = error.what();
    bool const about_gnuplot = text.find("install gnuplot") != std::string_view::npos;
    if (!about_gnuplot || !mentioned_gnuplot) std::cerr << "warning: " << text << std::endl;
    mentioned_gnuplot = mentioned_gnuplot || about_gnuplot;
    return false;
  }
}

}  // namespace attn::io
