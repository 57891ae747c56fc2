#include "theory/lab.hpp"

#include "attn/io/csv.hpp"
#include "attn/io/plot.hpp"
#include "attn/io/results.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "commit.hpp"
#include "theory/experiments.hpp"

namespace theory {
namespace {

io::Json json(Cell const& cell) {
  if (auto const* const word = std::get_if<std::string>(&cell)) return *word;
  double const number = std::get<double>(cell);
  if (std::isfinite(number) && number == std::floor(number) && std::abs(number) < 1e15) {
    return static_cast<std::int64_t>(number);
  }
  return std::isfinite(number) ? io::Json(number) : io::Json(nullptr);
}

std::string readable(Cell const& cell) {
  if (auto const* const word = std::get_if<std::string>(&cell)) return *word;
  double const number = std::get<double>(cell);
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", number);
  return std::isnan(number) ? "-" : text;
}

/// printf counts bytes, a reader letters.
std::size_t letters(std::string const& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

std::vector<double> Table::numbers(std::string const& column) const {
  auto const found = std::find(columns.begin(), columns.end(), column);
  ATTN_CHECK(found != columns.end(), "theory: there is no column '", column, "'");
  auto const at = static_cast<std::size_t>(found - columns.begin());
  std::vector<double> result;
  for (auto const& row : rows) result.push_back(std::get<double>(row.at(at)));
  return result;
}

std::vector<int> Doubling::values(char const* what) const {
  std::vector<int> all;
  for (int n = 1; n <= high; n *= 2) {
    if (n >= low) all.push_back(n);
  }
  ATTN_CHECK(!all.empty(), what,
             ": give --tokens-low and --tokens-high with a power of two between them, there is none from ", low, " to ",
             high);
  return all;
}

Lab::Lab(io::Path out, std::string experiment) : out_(std::move(out)), experiment_(std::move(experiment)) {}

void Lab::write(std::string const& name, Table const& table) const {
  io::CsvLog log(out_ / (name + ".csv"), table.columns);
  for (auto const& row : table.rows) {
    std::vector<io::CsvCell> cells;
    for (Cell const& cell : row) {
      cells.push_back(std::visit([](auto const& value) { return io::CsvCell(value); }, cell));
    }
    log.append(cells);
  }
}

void Lab::draw(std::string const& name, io::Figure const& figure) const {
  for (char const* const kind : {".png", ".svg"}) io::try_save_figure(out_ / (name + kind), figure);
}

void Lab::finish(Table const& table) const {
  io::Results const header(built_from_commit);
  io::Json settings = io::Json::object(), runs = io::Json::array();
  for (auto const& [name, value] : settings_) settings[name] = json(value);
  for (auto const& row : table.rows) {
    io::Json run = io::Json::object();
    for (std::size_t c = 0; c < row.size(); ++c) run[table.columns[c]] = json(row[c]);
    runs.push_back(std::move(run));
  }
  io::Json const all = {{"machine", header.machine()},
                        {"commit", header.commit()},
                        {"experiment", experiment_},
                        {"settings", settings},
                        {"runs", runs}};
  io::write_file(out_ / "results.json", all.dump(2, ' ', false, io::Json::error_handler_t::replace) + "\n");
}

io::Series level(std::string const& label, std::pair<double, double> const& x, double y, int color) {
  return {.label = label, .x = {x.first, x.second}, .y = {y, y}, .style = io::LineStyle::dashed, .color = color};
}

void print(Table const& table) {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    widths.push_back(letters(table.columns[c]));
    for (auto const& row : table.rows) widths[c] = std::max(widths[c], letters(readable(row[c])));
  }
  auto const line = [&](auto const& text_of) {
    std::string text;
    for (std::size_t c = 0; c < widths.size(); ++c) {
      std::string const cell = text_of(c);
      bool const left = c == 0;
      std::string const space(widths[c] - letters(cell), ' ');
      text += (c == 0 ? "" : "  ") + (left ? cell + space : space + cell);
    }
    std::printf("%s\n", text.c_str());
  };
  std::printf("\n");
  line([&](std::size_t c) { return table.columns[c]; });
  for (auto const& row : table.rows) line([&](std::size_t c) { return readable(row[c]); });
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace theory
