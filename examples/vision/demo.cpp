#include "vision/demo.hpp"

#include "attn/io/output_directory.hpp"
#include "attn/io/report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>

#include "commit.hpp"
#include "vision/figures.hpp"

namespace vision {
namespace {

struct DemoRun {
  char const* directory;
  ActivationChoice activation;
};

std::vector<DemoRun> demo_runs() {
  return {{"softmax", {.activation = "softmax"}},
          {"poly3", {.activation = "poly", .power = 3, .scale = "none"}},
          {"poly3_fixed", {.activation = "poly", .power = 3, .scale = "fixed"}},
          {"poly3_dynamic", {.activation = "poly", .power = 3, .scale = "dynamic"}}};
}

/// The rows of all runs, with a first column that tells which; what a run does not measure stays empty.
void write_metrics(io::Path const& out, std::vector<Outcome> const& runs) {
  std::vector<io::CsvTable> tables;
  std::vector<std::string> columns = {"run"};
  for (Outcome const& run : runs) {
    tables.push_back(io::read_csv(attn::train::metrics_path(run.directory)));
    for (std::string const& column : tables.back().columns) {
      if (std::find(columns.begin(), columns.end(), column) == columns.end()) columns.push_back(column);
    }
  }
  io::CsvLog log(attn::train::metrics_path(out), columns);
  for (std::size_t r = 0; r < runs.size(); ++r) {
    for (auto const& row : tables[r].rows) {
      std::vector<io::CsvCell> cells(columns.size());
      cells[0] = io::CsvCell(runs[r].name);
      for (std::size_t c = 0; c < row.size(); ++c) {
        auto const at = std::find(columns.begin(), columns.end(), tables[r].columns[c]) - columns.begin();
        cells[static_cast<std::size_t>(at)] = io::CsvCell(row[c]);
      }
      log.append(cells);
    }
  }
}

/// What the differences of a table are worth.
std::string worth(std::vector<Outcome> const& runs) {
  double p = 0;
  for (Outcome const& run : runs) p += run.run["test_accuracy"].get<double>() / static_cast<double>(runs.size());
  auto const images = runs.front().run["test_images"].get<double>();
  double const error = std::sqrt(p * (1 - p) / images);
  char line[256];
  std::snprintf(line, sizeof line,
                "standard error of an accuracy on %.0f test images: %.4f; differences below %.4f say nothing, and one "
                "seed says little: compare with --seed 1",
                images, error, 2 * std::sqrt(2.0) * error);
  return line;
}

void print_table(std::vector<Outcome> const& runs) {
  std::printf("\n%-12s %13s %10s %11s\n", "activation", "test accuracy", "test loss", "train loss");
  for (Outcome const& run : runs) {
    auto const number = [&](char const* field) { return run.run[field].get<double>(); };
    std::string name = run.name;
    auto const letters = static_cast<std::size_t>(
        std::count_if(name.begin(), name.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
    name.append(12 - std::min<std::size_t>(12, letters), ' ');  // printf counts bytes, a reader letters
    std::printf("%s %13.4f %10.4f %11.4f\n", name.c_str(), number("test_accuracy"), number("test_loss"),
                number("train_loss"));
  }
  std::printf("%s\n\n", worth(runs).c_str());
}

io::Report report(std::vector<Outcome> const& runs, std::vector<io::ReportFigure> figures) {
  io::Json const& first = runs.front().run;
  io::Report report{.title = "Softmax and polynomial attention in a vision transformer"};
  report.paragraphs = {
      "The same small vision transformer is trained from the same initial weights on the same batches with four "
      "activations of the attention scores s = q·k/√d: softmax, and the polynomial c s³ with c = 1, with c = 1/√N for "
      "N keys, and with a trained c that starts there. Only the activation differs.",
      "Softmax bounds the Frobenius norm of its attention matrix by √N. A polynomial has no such bound; the factor "
      "1/√N brings its norm to the same order.",
      "What the differences are worth: " + worth(runs) + ".",
      "The runs came one after the other, so their seconds do not compare the activations: bench/train_step takes them "
      "in turns."};
  report.columns = {"name", "test_accuracy", "test_loss", "train_accuracy", "train_loss", "parameters"};
  for (auto const& [field, value] : first.items()) {
    bool const differs = std::any_of(runs.begin(), runs.end(), [&, &name = field, &same = value](Outcome const& run) {
      return !run.run.contains(name) || run.run[name] != same;
    });
    if (!differs) report.settings.emplace_back(field, value.is_string() ? value.get<std::string>() : value.dump());
  }
  report.figures = std::move(figures);
  return report;
}

}  // namespace

void use_demo_sizes(ModelSettings& model) {
  if (!model.patch) model.patch = Extent{4, 4};
  if (!model.width) model.width = 48;
  if (!model.depth) model.depth = Stages(2);
  if (!model.heads) model.heads = Stages(2);
}

int run_demo(Settings const& settings, io::Path const& out, bool resume) {
  ImageData const data = load_data(settings.data, settings.recipe, wanted(settings, {}, true));
  attn::train::StopRequest const stop;
  std::vector<Outcome> runs;
  for (DemoRun const& demo : demo_runs()) {
    Settings run = settings;
    run.activation = demo.activation;
    io::Path const directory = out / demo.directory;
    io::OutputDirectory const lock(directory);
    bool const continues = resume && std::filesystem::exists(attn::train::checkpoint_path(directory));
    runs.push_back(train(run, data, {.out = directory, .resume = continues, .stop = &stop}));
    if (!runs.back().interrupted) write_classes(directory / "classes.csv", runs.back());
    if (stop.requested()) {
      std::cerr << "stopped; the same command with --resume continues" << std::endl;
      return stop.exit_code();
    }
    io::Results results(built_from_commit);  // after each run, so that a failure of a later one takes nothing away
    for (Outcome const& outcome : runs) results.add(outcome.run);
    results.write(out / "results.json");
    write_metrics(out, runs);
  }
  print_table(runs);
  io::Results results(built_from_commit);
  for (Outcome const& outcome : runs) results.add(outcome.run);
  io::write_report(out / "report.html", report(runs, draw_figures(out, runs)), results);
  std::cout << "results, metrics, weights, figures and a report: " << (out / "report.html").string() << std::endl;
  return 0;
}

}  // namespace vision
