// What a run of train_pde leaves behind: the entry of results.json, and pictures.
#pragma once

#include "attn/io/figure.hpp"
#include "attn/io/results.hpp"

#include <string>
#include <vector>

#include "pde/training.hpp"

namespace train_pde {

/// Writes results.json, and says the same on the screen in a line.
void report(Settings const& settings, Outcome const& outcome, attn::io::Json const& errors);

/// How points fill a rectangle: `point` (rows, columns) holds their numbers, row 0 at the top.
struct Raster {
  std::size_t rows = 0, columns = 0;
  std::vector<std::size_t> point;
  std::string x_label, y_label;  // along a row, along a column
  attn::io::Range x_range{}, y_range{};
};

/// The raster of scattered points, if they fill one; else one without rows.
Raster raster_of(std::vector<double> const& x, std::vector<double> const& y);

/// fields.png: the truth, the prediction in the same colours, and the error. training.png: the loss, its terms and the
/// errors while training.
void draw(Settings const& settings, Raster const& raster, std::vector<double> const& truth,
          std::vector<double> const& guess, Outcome const& outcome);

}  // namespace train_pde
