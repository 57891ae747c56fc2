#include "pde/spectrum.hpp"

#include "attn/io/csv.hpp"
#include "attn/io/plot.hpp"
#include "attn/optim/tangent_kernel.hpp"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <numeric>

namespace train_pde {
namespace {

namespace io = attn::io;

/// Of the part of a symmetric matrix (size, size) with the rows and columns from `first` on, from the largest.
std::vector<double> eigenvalues(std::vector<double> const& matrix, std::size_t size, std::size_t first,
                                std::size_t count) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::Map<Matrix const> const all(matrix.data(), Eigen::Index(size), Eigen::Index(size));
  Matrix const part = all.block(Eigen::Index(first), Eigen::Index(first), Eigen::Index(count), Eigen::Index(count));
  Eigen::SelfAdjointEigenSolver<Matrix> const solver(part, Eigen::EigenvaluesOnly);
  auto const& values = solver.eigenvalues();
  std::vector<double> sorted(values.begin(), values.end());
  std::ranges::reverse(sorted);
  return sorted;
}

void draw(Settings const& s, io::CsvTable const& table) {
  io::LinePlot plot{.title = s.problem + ": tangent kernel",
                    .x_label = "number of the eigenvalue",
                    .y_label = "eigenvalue",
                    .log_x = true,
                    .log_y = true};
  std::vector<std::string> terms;
  auto const number = table.numbers("number"), value = table.numbers("eigenvalue");
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    std::string const &when = table.rows[i][0], &term = table.rows[i][1], label = term + ", " + when;
    if (plot.series.empty() || plot.series.back().label != label) {
      auto const known = std::ranges::find(terms, term);
      int const color = int(known - terms.begin());
      if (known == terms.end()) terms.push_back(term);
      plot.series.push_back(
          {.label = label, .style = when == "before" ? io::LineStyle::dashed : io::LineStyle::solid, .color = color});
    }
    plot.series.back().x.push_back(number[i]);
    plot.series.back().y.push_back(value[i]);
  }
  io::try_save_figure(s.common.out / "spectrum.png", {.panels = {plot}, .panel_width = 800, .panel_height = 480});
}

}  // namespace

void add_spectrum(Settings const& s, Context& ctx, Loss const& loss, std::string const& when) {
  auto problem = loss.squares({1, 1, 1}, s.spectrum, 0);
  auto const kernel = attn::optim::tangent_kernel_of_sums(ctx, problem);
  auto const sizes = problem.sum_sizes();
  std::size_t const size = std::accumulate(sizes.begin(), sizes.end(), std::size_t(0));
  io::Path const file = s.common.out / "spectrum.csv";
  io::CsvTable table{{"when", "term", "number", "eigenvalue"}, {}};
  if (when != "before" && std::filesystem::exists(file)) table = io::read_csv(file);
  std::erase_if(table.rows, [&](auto const& row) { return row[0] == when; });  // of a run that went on since
  auto const add = [&](std::string const& term, std::size_t first, std::size_t count) {
    std::size_t number = 0;
    for (double const value : eigenvalues(kernel, size, first, count)) {
      char text[32];
      std::snprintf(text, sizeof text, "%.9g", value);
      table.rows.push_back({when, term, std::to_string(++number), text});
    }
  };
  add("all", 0, size);
  std::size_t first = 0;
  for (std::size_t t = 0; t < sizes.size(); first += sizes[t++]) add(loss.names[t], first, sizes[t]);

  std::string text;
  auto const write = [&](std::vector<std::string> const& row) {
    text += row[0] + "," + row[1] + "," + row[2] + "," + row[3] + "\n";
  };
  write(table.columns);
  for (auto const& row : table.rows) write(row);
  io::write_file(file, text);
  draw(s, table);
}

}  // namespace train_pde
