/// Metrics: named numbers of a step or an epoch, and metrics.csv, in which they grow row by row.
#pragma once

#include "attn/io/csv.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attn::train {

/// Names and values, in the order in which they are shown.
using Metrics = std::vector<std::pair<std::string, double>>;

/// The value under a name, which must be there.
inline double value_of(Metrics const& metrics, std::string_view name) {
  auto const found = std::find_if(metrics.begin(), metrics.end(), [&](auto const& m) { return m.first == name; });
  ATTN_CHECK(found != metrics.end(), "value_of: ask for a metric that was measured, \"", name, "\" was not");
  return found->second;
}

/// Rows of metrics in a CSV file. A metric that a row lacks leaves its cell empty.
class MetricsLog {
 public:
  /// A new file.
  MetricsLog(io::Path const& path, std::vector<std::string> columns) : csv_(path, std::move(columns)) {}

  /// Continues after the first `rows` rows of a file with these columns.
  static MetricsLog resume(io::Path const& path, std::vector<std::string> columns, std::size_t rows) {
    return MetricsLog(io::CsvLog::resume(path, std::move(columns), rows));
  }

  void append(Metrics const& metrics) {
    std::vector<io::CsvCell> cells(csv_.columns().size());
    for (auto const& [name, value] : metrics) {
      auto const column = std::find(csv_.columns().begin(), csv_.columns().end(), name);
      ATTN_CHECK(column != csv_.columns().end(), "MetricsLog::append: \"", name, "\" is none of the columns");
      cells[static_cast<std::size_t>(column - csv_.columns().begin())] = io::CsvCell(value);
    }
    csv_.append(cells);
  }

  std::size_t rows() const { return csv_.rows(); }

 private:
  explicit MetricsLog(io::CsvLog csv) : csv_(std::move(csv)) {}

  io::CsvLog csv_;
};

/// The mean of what was added since the last `reset`. Its two numbers can be saved and restored.
struct Mean {
  double sum = 0;
  std::uint64_t count = 0;

  void add(double value) {
    sum += value;
    ++count;
  }
  double value() const { return sum / static_cast<double>(count); }
  void reset() { *this = {}; }
};

}  // namespace attn::train
