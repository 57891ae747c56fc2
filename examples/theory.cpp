// Sections 4 and 5 of the paper as experiments: does an activation need a scale, and which one?
//
//   theory bounds                                      theorem 4.1
//   theory growth --activation relu                    theorems 4.2 and 4.4
//   theory sweep                                       figure 1
//   theory norms                                       figures 2, 3, 6 and 7, table 1
//   theory heatmaps --weights run/weights.safetensors  figures 4 and 5
//   theory recommend --activation squared_relu         what scale, and which powers train
#include "attn/io/options.hpp"

#include <algorithm>
#include <string>

#include "theory/experiments.hpp"
#include "theory/measure.hpp"

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

  Theory() {
    common.out = "theory_run";
    for (std::string const& name : registered_names()) {
      auto& known = common.activations;
      if (std::find(known.begin(), known.end(), name) == known.end()) known.push_back(name);
    }
  }

  void add_options(CLI::App& app) {
    app.description(
        "Tests the paper's theory of attention's activations. Leaves tables (CSV), figures (PNG and SVG) and "
        "results.json in --out. NAME --help lists the flags of an experiment.");
    app.require_subcommand(1);
    add_doubling(experiment(app, "bounds", "Theorem 4.1: norms of softmax on random and adversarial matrices"),
                 bounds_.tokens)
        .add_option("--trials", bounds_.trials, "Random matrices of each kind and length")
        ->check(io::between(1, 10000));
    add_growth(experiment(app, "growth", "Theorems 4.2 and 4.4: how norms grow with the length, for all activations"));
    add_sweep(experiment(app, "sweep", "Figure 1: accuracy of x^3/k over k, and the best k over the length"));
    CLI::App& norms = experiment(app, "norms", "Figures 2, 3, 6, 7 and table 1: norms through training");
    norms.add_option("--tokens", norms_.tokens, "Length: 8, 16, 64 or 256");
    add_training_options(norms, norms_.training);
    add_heatmaps(experiment(app, "heatmaps", "Figures 4 and 5: attention matrices of the weights in --weights"));
    add_recommend(experiment(app, "recommend", "The scale that an activation wants, and the powers that train"));
  }

  void run() {
    ATTN_CHECK(!common.evaluate, "--evaluate: leave it out, no experiment evaluates alone");
    ATTN_CHECK(common.weights.empty() || chosen("heatmaps"), "--weights: leave it out, it belongs to heatmaps");
    if (chosen("bounds")) run_bounds(common, bounds_);
    if (chosen("growth")) run_growth(common, growth_);
    if (chosen("sweep")) run_sweep(common, sweep_);
    if (chosen("norms")) run_norms(common, norms_);
    if (chosen("heatmaps")) run_heatmaps(common, heatmaps_);
    if (chosen("recommend")) run_recommend(common, recommend_);
  }

 private:
  CLI::App& experiment(CLI::App& app, std::string const& name, std::string const& text) {
    app_ = &app;
    CLI::App* const sub = app.add_subcommand(name, text);
    sub->fallthrough();
    return *sub;
  }
  bool chosen(std::string const& name) const { return app_->got_subcommand(name); }

  CLI::App& add_doubling(CLI::App& app, Doubling& tokens) {
    app.add_option("--tokens-low", tokens.low, "Shortest length")->check(io::between(1, 1 << 16));
    app.add_option("--tokens-high", tokens.high, "Longest length; lengths are the powers of two between")
        ->check(io::between(1, 1 << 16));
    return app;
  }

  void add_growth(CLI::App& app) {
    add_doubling(app, growth_.tokens);
    app.add_option("--trials", growth_.trials, "Independent draws of X, Q and K")->check(io::between(2, 100000));
    app.add_option("--width", growth_.width, "Width D of the tokens X")->check(io::between(1, 65536));
    app.add_option("--head-width", growth_.head_width, "Width d of queries and keys")->check(io::between(1, 4096));
    app.add_option("--sigma-x", growth_.sigma_x, "Standard deviation of X")->check(io::between(1e-6, 1e6));
    app.add_option("--sigma-t", growth_.sigma_t, "Standard deviation of Q and K; 0: 1/sqrt(D)")
        ->check(io::between(0.0, 1e6));
  }

  void add_heatmaps(CLI::App& app) {
    app.add_option("--beside", heatmaps_.beside, "Further weights, drawn beside those of --weights")
        ->delimiter(',')
        ->check(io::existing_file());
    app.add_option("--layers", heatmaps_.layers, "Layers to draw, 1 the first (default: the second and the last)")
        ->delimiter(',');
    app.add_option("--heads", heatmaps_.heads, "Heads to draw, 1 the first")->delimiter(',');
    app.add_option("--samples", heatmaps_.samples, "Test images to average over")->check(io::between(1, 60000));
    app.add_option("--data", heatmaps_.data, "Folder with the IDX files of the images (default: Fashion-MNIST)");
  }

  void add_recommend(CLI::App& app) {
    app.add_option("--layers", recommend_.depth, "Blocks of the network at initialisation")
        ->check(io::between(1, 1000));
    app.add_option("--tokens", recommend_.tokens, "Length N")->check(io::between(1, 1 << 16));
    app.add_option("--head-width", recommend_.head_width, "Width d of a head")->check(io::between(1, 4096));
    app.add_option("--n-heads", recommend_.heads, "Heads")->check(io::between(1, 4096));
    app.add_option("--highest-power", recommend_.highest_power, "Powers 1 to this are tried")->check(io::between(1, 8));
    app.add_flag("--no-training{false}", recommend_.train, "Measure at initialisation only; train no powers");
    add_training_options(app, recommend_.training);
  }

  void add_sweep(CLI::App& app) {
    app.add_option("--tokens", sweep_.tokens, "Lengths: 8, 16, 64, 256, separated by commas")->delimiter(',');
    app.add_option("--k-low", sweep_.k_low, "Smallest k");
    app.add_option("--k-high", sweep_.k_high, "Largest k");
    app.add_option("--k-per-decade", sweep_.k_per_decade, "Values of k in a decade")->check(io::between(1, 100));
    add_training_options(app, sweep_.training);
  }

  CLI::App const* app_ = nullptr;
  BoundsOptions bounds_;
  GrowthOptions growth_;
  SweepOptions sweep_;
  NormsOptions norms_;
  HeatmapsOptions heatmaps_;
  RecommendOptions recommend_;
};

}  // namespace

int main(int argc, char** argv) {
  Theory program;
  return attn::io::run_main(argc, argv, program);
}
