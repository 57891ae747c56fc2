// Sections 4 and 5 of the paper as experiments: does an activation need a scale, and which one?
//
//   theory bounds                                      theorem 4.1
//   theory growth --activation relu                    theorems 4.2 and 4.4
//   theory sweep                                       figure 1
//   theory norms                                       figures 2, 3, 6 and 7, table 1
//   theory heatmaps --file run/weights.safetensors     figures 4 and 5
//   theory recommend --activation squared_relu         what scale, and which powers train
#include "attn/io/options.hpp"

#include <string>

#include "theory/experiments.hpp"

namespace {

using namespace theory;
namespace io = attn::io;

void add_training_options(CLI::App& app, TrainingOptions& o) {
  app.add_option("--preset", o.preset, "quick: minutes on two cores; full: as the paper, a day or more")
      ->check(io::one_of({"quick", "full"}));
  auto const number = [&](char const* flag, int& value, char const* text) {
    app.add_option(flag, value, std::string(text) + " (0: of the preset)")->check(io::between(0, 1 << 20));
  };
  number("--width", o.width, "Width of the model");
  number("--depth", o.depth, "Blocks of the model");
  number("--heads", o.heads, "Heads of the model");
  number("--epochs", o.epochs, "Passes over the training images");
  number("--train-limit", o.train_limit, "Training images");
  number("--test-limit", o.test_limit, "Test images");
  number("--batch", o.batch, "Images of a step");
  number("--seeds", o.seeds, "Runs of each setting, from seeds --seed, --seed + 1, ...");
  app.add_option("--lr", o.lr, "Learning rate (0: of the preset)")->check(io::between(0.0, 10.0));
  app.add_option("--data", o.data, "Folder with the four IDX files of the images (default: Fashion-MNIST)");
}

class Theory {
 public:
  io::CommonOptions common;

  Theory() { common.out = "theory_run"; }

  void add_options(CLI::App& app) {
    app.description(
        "Tests the paper's theory of attention's activations. Leaves tables (CSV), figures (PNG and SVG) and "
        "results.json in --out. NAME --help lists the flags of an experiment.");
    app.require_subcommand(1);
    add_sweep(experiment(app, "sweep", "Figure 1: accuracy of x^3/k over k, and the best k over the length"));
  }

  void run() {
    ATTN_CHECK(!common.evaluate && common.weights.empty(), "theory: leave out --evaluate and --weights");
    if (chosen("sweep")) run_sweep(common, sweep_);
  }

 private:
  CLI::App& experiment(CLI::App& app, std::string const& name, std::string const& text) {
    app_ = &app;
    CLI::App* const sub = app.add_subcommand(name, text);
    sub->fallthrough();
    return *sub;
  }
  bool chosen(std::string const& name) const { return app_->got_subcommand(name); }

  void add_sweep(CLI::App& app) {
    app.add_option("--tokens", sweep_.tokens, "Lengths: 8, 16, 64, 256, separated by commas")->delimiter(',');
    app.add_option("--k-low", sweep_.k_low, "Smallest k");
    app.add_option("--k-high", sweep_.k_high, "Largest k");
    app.add_option("--k-per-decade", sweep_.k_per_decade, "Values of k in a decade")->check(io::between(1, 100));
    add_training_options(app, sweep_.training);
  }

  CLI::App const* app_ = nullptr;
  SweepOptions sweep_;
};

}  // namespace

int main(int argc, char** argv) {
  Theory program;
  return attn::io::run_main(argc, argv, program);
}
