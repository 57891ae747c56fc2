#include "theory/training.hpp"

#include "attn/data/garments.hpp"
#include "attn/io/csv.hpp"
#include "attn/io/failed_run.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "vision/task.hpp"

namespace theory {
namespace {

constexpr std::size_t side = 32;

TrainingOptions const quick{.width = 32,
                            .depth = 2,
                            .heads = 2,
                            .epochs = 4,
                            .train_limit = 20000,
                            .test_limit = 2000,
                            .batch = 16,
                            .lr = 4e-3,
                            .seeds = 1,
                            .data = {},
                            .insist = false};
TrainingOptions const full{.preset = "full",
                           .width = 192,
                           .depth = 12,
                           .heads = 3,
                           .epochs = 20,
                           .train_limit = 60000,
                           .test_limit = 10000,
                           .batch = 64,
                           .lr = 1e-3,
                           .seeds = 3,
                           .data = {},
                           .insist = false};

/// FNV-1a, in hexadecimal digits.
class Print {
 public:
  template <class Bytes>
  void add(Bytes const& bytes) {
    for (auto const byte : bytes) hash_ = (hash_ ^ static_cast<unsigned char>(byte)) * 0x100000001b3ULL;
  }
  std::string text() const {
    char digits[20];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash_));
    return digits;
  }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
};

/// What runs.csv says of a run beside its name and its settings.
constexpr std::pair<char const*, double Run::*> numbers[] = {{"test_accuracy", &Run::accuracy},
                                                             {"train_accuracy", &Run::train_accuracy},
                                                             {"seconds", &Run::seconds},
                                                             {"processor_seconds", &Run::processor_seconds},
                                                             {"parameters", &Run::parameters},
                                                             {"first_frobenius", &Run::first_frobenius},
                                                             {"last_frobenius", &Run::last_frobenius},
                                                             {"first_jacobian", &Run::first_jacobian},
                                                             {"last_jacobian", &Run::last_jacobian}};

std::vector<std::string> columns() {
  std::vector<std::string> all = {"run", "settings", "diverged"};
  for (auto const& [name, number] : numbers) all.emplace_back(name);
  return all;
}

void read_norms(Run& run) {
  auto const path = attn::train::metrics_path(run.directory);
  run.first_frobenius = run.last_frobenius = run.first_jacobian = run.last_jacobian = NAN;
  if (!std::filesystem::exists(path)) return;
  io::CsvTable const table = io::read_csv(path);
  auto const means = [&](std::string (*column)(std::size_t), double& first, double& last) {
    std::vector<double> firsts, lasts;
    for (std::size_t layer = 0;; ++layer) {
      if (std::find(table.columns.begin(), table.columns.end(), column(layer)) == table.columns.end()) break;
      auto values = table.numbers(column(layer));
      std::erase_if(values, [](double x) { return std::isnan(x); });
      if (values.empty()) return;
      firsts.push_back(values.front()), lasts.push_back(values.back());
    }
    if (firsts.empty()) return;
    first = mean(firsts), last = mean(lasts);
  };
  means(&vision::VisionTask::frobenius_column, run.first_frobenius, run.last_frobenius);
  means(&vision::VisionTask::jacobian_column, run.first_jacobian, run.last_jacobian);
}

}  // namespace

attn::data::Dataset pad(attn::data::Dataset dataset) {
  ATTN_CHECK(dataset.height <= side && dataset.width <= side, "--data: give images of at most 32 x 32, not ",
             dataset.height, " x ", dataset.width);
  std::vector<std::uint8_t> images(dataset.count * dataset.channels * side * side, 0);
  std::size_t const top = (side - dataset.height) / 2, left = (side - dataset.width) / 2;
  for (std::size_t plane = 0; plane < dataset.count * dataset.channels; ++plane) {
    for (std::size_t y = 0; y < dataset.height; ++y) {
      std::copy_n(dataset.images.begin() + static_cast<std::ptrdiff_t>((plane * dataset.height + y) * dataset.width),
                  dataset.width, images.begin() + static_cast<std::ptrdiff_t>((plane * side + y + top) * side + left));
    }
  }
  dataset.images = std::move(images);
  dataset.height = dataset.width = side;
  return dataset;
}

TrainingOptions complete(TrainingOptions options) {
  TrainingOptions const& preset = options.preset == "quick" ? quick : full;
  auto const fill = [&](auto TrainingOptions::*field) {
    if (options.*field == 0) options.*field = preset.*field;
  };
  for (auto const field : {&TrainingOptions::width, &TrainingOptions::depth, &TrainingOptions::heads,
                           &TrainingOptions::epochs, &TrainingOptions::train_limit, &TrainingOptions::test_limit,
                           &TrainingOptions::batch, &TrainingOptions::seeds}) {
    fill(field);
  }
  fill(&TrainingOptions::lr);
  return options;
}

attn::data::Split images_of(TrainingOptions const& options) {
  vision::DataSettings settings;
  if (!options.data.empty()) settings.directory = options.data;
  attn::data::Split split = vision::load_idx_data(settings);
  if (options.data.empty()) {
    return attn::data::compose_garments(split, std::size_t(options.train_limit), std::size_t(options.test_limit), {},
                                        0);
  }
  auto const cut = [](attn::data::Dataset& part, int limit) {
    std::size_t const count = limit > 0 ? std::min(part.count, static_cast<std::size_t>(limit)) : part.count;
    part = pad(attn::data::take(std::move(part), count));
  };
  cut(split.train, options.train_limit);
  cut(split.test, options.test_limit);
  split.train.normalization = attn::data::channel_statistics(split.train);
  split.test.normalization = split.train.normalization;
  return split;
}

void note(Lab& lab, TrainingOptions const& options, attn::data::Split const& data) {
  for (auto const& [name, value] : {std::pair{"width", options.width},
                                    {"depth", options.depth},
                                    {"heads", options.heads},
                                    {"epochs", options.epochs},
                                    {"batch", options.batch},
                                    {"seeds", options.seeds}}) {
    lab.set(name, double(value));
  }
  lab.set("train_images", double(data.train.count));
  lab.set("test_images", double(data.test.count));
  lab.set("lr", options.lr);
}

vision::Extent patch_for(int tokens) {
  switch (tokens) {
    case 256:
      return {2, 2};
    case 64:
      return {4, 4};
    case 16:
      return {8, 8};
    case 8:
      return {8, 16};
    default:
      ATTN_CHECK(false, "--tokens: choose among 8, 16, 64 and 256, got ", tokens);
  }
  return {};
}

vision::Settings settings_of(TrainingOptions const& o, vision::ActivationChoice const& activation, int tokens,
                             std::uint64_t seed) {
  vision::Settings settings;
  settings.activation = activation;
  settings.seed = seed;
  settings.insist = o.insist;
  settings.model.patch = patch_for(tokens);
  settings.model.width = o.width;
  settings.model.depth = o.depth;
  settings.model.heads = o.heads;
  settings.model.pool = "token";
  settings.recipe.epochs = static_cast<std::uint64_t>(o.epochs);
  settings.recipe.batch = static_cast<std::size_t>(o.batch);
  settings.recipe.lr = o.lr;
  settings.recipe.warmup = 0.1;
  return settings;
}

// So small a factor that fp32 holds what it is multiplied with, gradients included, as normal numbers, and their
// squares in AdamW as exact zeros: denormal numbers would take several times as long.
vision::ActivationChoice no_attention() {
  return {.activation = "poly", .power = 1, .scale = "fixed", .factor = 1e-25};
}

Runs::Runs(Lab const& lab, attn::data::Split const& data) : lab_(lab), data_(data), images_(vision::in_memory(data)) {
  Print print;
  for (auto const* part : {&data.train, &data.test}) {
    print.add(part->images);
    print.add(part->labels);
  }
  data_print_ = print.text();
  io::Path const path = lab.out() / "runs.csv";
  if (!std::filesystem::exists(path)) return;
  io::CsvTable const table = io::read_csv(path);
  ATTN_CHECK(table.columns == columns(), "--out: '", path.string(), "' is of another program; use another --out");
  auto const diverged = table.numbers("diverged");
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    Run run{.name = table.rows[row][0], .diverged = diverged[row] != 0};
    for (auto const& [name, number] : numbers) run.*number = table.numbers(name)[row];
    run.directory = lab.out() / "runs" / run.name;
    kept_.emplace_back(run, table.rows[row][1]);
  }
}

Run const& Runs::train(std::string const& name, vision::Settings const& settings) {
  vision::Settings mine = settings;
  mine.recipe.batch = std::min(mine.recipe.batch, data_.train.count);
  auto const shape = images_.train->shape();
  Print print;
  print.add(vision::results_of(mine, vision::model_sizes(mine.model, shape), images_).dump());
  print.add(data_print_);
  asked_.push_back(name);
  for (auto const& [run, settings_of_run] : kept_) {
    if (run.name != name) continue;
    ATTN_CHECK(settings_of_run == print.text(), "--out: the run '", name,
               "' that is there had other settings or data; give those again, or use another --out");
    return run;
  }
  Run const run = measure(name, mine);
  save(run, print.text());
  std::printf("%s: test accuracy %.4f%s, %.1f s\n", name.c_str(), run.accuracy, run.diverged ? " (diverged)" : "",
              run.seconds);
  std::fflush(stdout);
  return kept_.back().first;
}

Run Runs::measure(std::string const& name, vision::Settings const& settings) const {
  Run run{.name = name, .directory = lab_.out() / "runs" / name};
  attn::io::OutputDirectory const lock(run.directory);
  attn::train::StopRequest const stop;
  std::clock_t const start = std::clock();
  try {
    auto const outcome = vision::train(settings, images_, {.out = run.directory, .stop = &stop});
    if (outcome.interrupted) throw attn::io::FailedRun("interrupted; the same command goes on after what is finished");
    auto const number = [&](char const* field) { return outcome.run.at(field).get<double>(); };
    run.accuracy = number("test_accuracy");
    run.train_accuracy = number("train_accuracy");
    run.seconds = number("seconds");
    run.parameters = number("parameters");
  } catch (attn::io::FailedRun const& failure) {
    if (stop.requested()) throw;
    std::fprintf(stderr, "%s: %s\n", name.c_str(), failure.what());
    run.accuracy = run.train_accuracy = 1.0 / std::max(1, data_.train.classes);
    run.diverged = true;
    run.seconds = run.parameters = NAN;
  }
  run.processor_seconds = double(std::clock() - start) / CLOCKS_PER_SEC;
  read_norms(run);
  return run;
}

void Runs::save(Run const& run, std::string const& print) {
  io::Path const path = lab_.out() / "runs.csv";
  auto log = kept_.empty() ? io::CsvLog(path, columns()) : io::CsvLog::resume(path, columns(), kept_.size());
  std::vector<io::CsvCell> cells = {run.name, print, run.diverged};
  for (auto const& [name, number] : numbers) cells.emplace_back(run.*number);
  log.append(cells);
  kept_.emplace_back(run, print);
}

std::vector<Run> Runs::train(std::string const& name, vision::Settings settings, std::uint64_t seed, int seeds) {
  std::vector<Run> all;
  for (int s = 0; s < seeds; ++s) {
    settings.seed = seed + std::uint64_t(s);
    all.push_back(train(name + "_seed" + std::to_string(settings.seed), settings));
  }
  return all;
}

Table Runs::table() const {
  Table table{.columns = {"run", "diverged"}};
  for (auto const& [name, number] : numbers) table.columns.emplace_back(name);
  for (std::string const& name : asked_) {
    for (auto const& [run, print] : kept_) {
      if (run.name != name) continue;
      auto& row = table.rows.emplace_back(std::vector<Cell>{run.name, double(run.diverged)});
      for (auto const& [what, number] : numbers) row.emplace_back(run.*number);
    }
  }
  return table;
}

Estimate accuracy_of(std::vector<Run> const& runs) {
  std::vector<double> all;
  for (Run const& run : runs) all.push_back(run.accuracy);
  return estimate(all);
}

double mean_of(std::vector<Run> const& runs, double Run::*number) {
  std::vector<double> all;
  for (Run const& run : runs) all.push_back(run.*number);
  return mean(all);
}

int diverged(std::vector<Run> const& runs) {
  return int(std::count_if(runs.begin(), runs.end(), [](Run const& run) { return run.diverged; }));
}

std::string percent(Estimate const& accuracy) {
  char text[40];
  bool const alone = std::isnan(accuracy.half_width);
  std::snprintf(text, sizeof text, alone ? "%.1f" : "%.1f ± %.1f", 100 * accuracy.value, 100 * accuracy.half_width);
  return text;
}

void warn_unless_below(std::string const& what, Estimate const& none, Estimate const& softmax) {
  if (none.value + 0.2 < softmax.value) return;
  std::fprintf(stderr, "%s: without attention the network reaches %.1f %%, softmax %.1f %%: this shows nothing\n",
               what.c_str(), 100 * none.value, 100 * softmax.value);
}

}  // namespace theory
