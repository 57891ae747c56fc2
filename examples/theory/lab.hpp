/// Lab: what an experiment leaves behind: tables as CSV, figures as PNG and SVG, and results.json with all of it.
#pragma once

#include "attn/io/figure.hpp"
#include "attn/io/output_directory.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace theory {

namespace io = attn::io;

/// A number, which may be NaN where there is none, or a word.
using Cell = std::variant<double, std::string>;

struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<Cell>> rows = {};

  /// One column of numbers.
  std::vector<double> numbers(std::string const& column) const;
};

class Lab {
 public:
  /// Creates the directory if it is missing, and locks it.
  Lab(io::Path out, std::string experiment);

  io::Path const& out() const { return out_.path(); }

  /// What the results depend on, for results.json.
  void set(std::string const& name, Cell value) { settings_.emplace_back(name, std::move(value)); }

  /// Writes NAME.csv.
  void write(std::string const& name, Table const& table) const;

  /// Draws NAME.png and NAME.svg. What cannot be drawn is a warning.
  void draw(std::string const& name, io::Figure const& figure) const;

  /// Writes results.json, in which each row of `runs` is a run.
  void finish(Table const& runs) const;

 private:
  io::OutputDirectory out_;
  std::string experiment_;
  std::vector<std::pair<std::string, Cell>> settings_;
};

/// A dashed line at height y, between the numbers x.
io::Series level(std::string const& label, std::pair<double, double> const& x, double y, int color);

/// The table on the screen, its columns lined up.
void print(Table const& table);

}  // namespace theory
