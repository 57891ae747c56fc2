/// curve: one column of a table over another, as a curve of a figure.
#pragma once

#include "attn/io/csv.hpp"
#include "attn/io/figure.hpp"

#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attn::io {

/// Column `y` over column `x` of the rows in which y has a number: what is measured now and then leaves no gaps.
inline Series curve(CsvTable const& table, std::string_view x, std::string_view y, std::string label = {},
                    LineStyle style = LineStyle::solid) {
  Series curve{.label = std::move(label), .style = style};
  std::vector<double> const xs = table.numbers(x), ys = table.numbers(y);
  for (std::size_t i = 0; i < xs.size(); ++i) {
    if (std::isnan(ys[i])) continue;
    curve.x.push_back(xs[i]);
    curve.y.push_back(ys[i]);
  }
  return curve;
}

}  // namespace attn::io
