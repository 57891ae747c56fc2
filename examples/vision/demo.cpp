#include "vision/demo.hpp"

#include "attn/io/output_directory.hpp"
#include "attn/io/report.hpp"

#include <algorithm>
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

/// The rows of all runs, with a first column that tells which.
void write_metrics(io::Path const& out, std::vector<Outcome> const& runs) {
  std::optional<io::CsvLog> log;
  for (Outcome const& run : runs) {
    io::CsvTable const table = io::read_csv(attn::train::metrics_path(run.directory));
    if (!log) {
      std::vector<std::string> columns = table.columns;
      columns.insert(columns.begin(), "run");
      log.emplace(attn::train::metrics_path(out), columns);
    }
    for (auto const& row : table.rows) {
      std::vector<io::CsvCell> cells{io::CsvCell(run.name)};
      for (auto const& cell : row) cells.emplace_back(cell);
      log->append(cells);
    }
  }
}

void print_table(std::vector<Outcome> const& runs) {
  std::printf("\n%-12s %13s %10s %11s %9s %10s\n", "activation", "test accuracy", "test loss", "train loss", "seconds",
              "images/s");
  for (Outcome const& run : runs) {
    auto const number = [&](char const* field) { return run.run[field].get<double>(); };
    std::string name = run.name;
    auto const letters = static_cast<std::size_t>(
        std::count_if(name.begin(), name.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
    name.append(12 - std::min<std::size_t>(12, letters), ' ');  // printf counts bytes, a reader letters
    std::printf("%s %13.4f %10.4f %11.4f %9.1f %10.0f\n", name.c_str(), number("test_accuracy"), number("test_loss"),
                number("train_loss"), number("seconds"), number("images_per_second"));
  }
  std::printf("\n");
}

io::Report report(std::vector<Outcome> const& runs, std::vector<io::ReportFigure> figures) {
  io::Json const& first = runs.front().run;
  io::Report report{.title = "Softmax and polynomial attention in a vision transformer"};
  report.paragraphs = {
      "The same small vision transformer is trained from the same initial weights on the same batches with four "
      "activations of the attention scores s = q·k/√d: softmax, and the polynomial c s³ with c = 1, with c = 1/√N for "
      "N keys, and with a trained c that starts there. Only the activation differs.",
      "Softmax bounds the Frobenius norm of its attention matrix by √N. A polynomial has no such bound; the factor "
      "1/√N brings its norm to the same order."};
  report.columns = {"name",       "test_accuracy", "test_loss", "train_accuracy",
                    "train_loss", "parameters",    "seconds",   "images_per_second"};
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
