// Sections 4 and 5 of the paper as experiments: does an activation need a scale, and which one?
//
//   theory bounds                                      theorem 4.1
//   theory growth --activation relu                    theorems 4.2 and 4.4
//   theory sweep                                       figure 1
//   theory norms                                       figures 2, 3, 6 and 7, table 1
//   theory architectures                               tables 2 and 5
//   theory data                                        writes the images that these learn from
//   theory heatmaps --weights run/weights.safetensors  figures 4 and 5
//   theory recommend --activation squared_relu         what scale, and which powers train
#include "attn/io/memory.hpp"
#include "attn/io/options.hpp"

#include <algorithm>
#include <deque>
#include <string>

#include "theory/experiments.hpp"
#include "theory/measure.hpp"

namespace {

using namespace theory;
namespace io = attn::io;

void describe(io::SettingList& list, TrainingOptions& o) {
  list("preset", o.preset,
       {.help = "quick: seconds to minutes a run; full: the paper's sizes, days", .words = {"quick", "full"}});
  auto const number = [&](char const* name, int& value, char const* text) {
    list(name, value, {.help = std::string(text) + " (0: of the preset)", .range = {0, 1 << 20}});
  };
  number("width", o.width, "Width of the model");
  number("depth", o.depth, "Blocks of the model");
  number("heads", o.heads, "Heads of the model");
  number("epochs", o.epochs, "Passes over the training images");
  number("train-limit", o.train_limit, "Training images");
  number("test-limit", o.test_limit, "Test images");
  number("batch", o.batch, "Images of a step");
  number("seeds", o.seeds, "Runs of each setting, from seeds --seed, --seed + 1, ...");
  list("other-seeds", o.other_seeds,
       {.help = "Of architectures: runs of each power but the third", .range = {1, 1000}});
  list("lr", o.lr, {.help = "Learning rate (0: of the preset)", .range = {0, 10}});
  list("data", o.data, {.help = "Folder with the four IDX files of the images (default: canvases of garments)"});
}

void describe(io::SettingList& list, Doubling& tokens) {
  list("tokens-low", tokens.low, {.help = "Shortest length", .range = {1, 1 << 16}});
  list("tokens-high", tokens.high,
       {.help = "Longest length; lengths are the powers of two between", .range = {1, 1 << 16}});
}

void describe(io::SettingList& list, BoundsOptions& o) {
  describe(list, o.tokens);
  list("trials", o.trials, {.help = "Random matrices of each kind and length", .range = {1, 10000}});
}

void describe(io::SettingList& list, GrowthOptions& o) {
  describe(list, o.tokens);
  list("trials", o.trials, {.help = "Independent draws of X, Q and K", .range = {2, 100000}});
  list("width", o.width, {.help = "Width D of the tokens X", .range = {1, 65536}});
  list("head-width", o.head_width, {.help = "Width d of queries and keys", .range = {1, 4096}});
  list("sigma-x", o.sigma_x, {.help = "Standard deviation of X", .range = {1e-6, 1e6}});
  list("sigma-t", o.sigma_t, {.help = "Standard deviation of Q and K; 0: 1/sqrt(D)", .range = {0, 1e6}});
}

void describe(io::SettingList& list, SweepOptions& o) {
  list("tokens", o.tokens, {.help = "Lengths: 8, 16, 64, 256, separated by commas"});
  list("k-low", o.k_low, {.help = "Smallest k"});
  list("k-high", o.k_high, {.help = "Largest k"});
  list("k-per-decade", o.k_per_decade, {.help = "Values of k in a decade", .range = {1, 100}});
  describe(list, o.training);
}

void describe(io::SettingList& list, NormsOptions& o) {
  list("tokens", o.tokens, {.help = "Length: 8, 16, 64 or 256"});
  describe(list, o.training);
}

void describe(io::SettingList& list, ArchitecturesOptions& o) {
  list("models", o.models, {.help = "vit, deit, swin, xcit, separated by commas (default: all that there are)"});
  list("powers", o.powers, {.help = "Powers beside softmax, separated by commas"});
  describe(list, o.training);
}

void describe(io::SettingList& list, DataOptions& o) {
  auto const number = [&](char const* name, int& value, char const* text) {
    list(name, value, {.help = text, .range = {1, 1 << 22}});
  };
  number("train", o.train, "Canvases to learn from");
  number("test", o.test, "Canvases to judge by");
  number("rows", o.rows, "Rows of cells of a canvas");
  number("columns", o.columns, "Columns of cells");
  number("cell", o.cell, "Side of a cell in pixels");
  number("garment", o.garment, "Side of a garment in pixels");
  list("relation", o.relation,
       {.help = "What the label is: ground, the kind of garment on the ground of the first, empty cell; place, that in "
                "the cell which the kind of the first garment names; pair, which two cells hold the same kind",
        .words = {"ground", "place", "pair"}});
  list("kinds", o.kinds, {.help = "Classes of the source, separated by commas (default: 1,5,2,8)"});
  list("source", o.source, {.help = "Folder with IDX files of single garments (default: Fashion-MNIST)"});
}

void describe(io::SettingList& list, HeatmapsOptions& o) {
  list("beside", o.beside, {.help = "Further weights, drawn beside those of --weights", .file = true});
  list("layers", o.layers, {.help = "Layers to draw, 1 the first (default: the second and the last)"});
  list("heads", o.heads, {.help = "Heads to draw, 1 the first"});
  list("samples", o.samples, {.help = "Test images to average over", .range = {1, 60000}});
  list("data", o.data, {.help = "Folder with the IDX files of the images (default: Fashion-MNIST)"});
}

void describe(io::SettingList& list, RecommendOptions& o) {
  list("layers", o.depth, {.help = "Blocks of the network at initialisation", .range = {1, 1000}});
  list("tokens", o.tokens, {.help = "Length N", .range = {1, 1 << 16}});
  list("head-width", o.head_width, {.help = "Width d of a head", .range = {1, 4096}});
  list("n-heads", o.heads, {.help = "Heads", .range = {1, 4096}});
  list("highest-power", o.highest_power, {.help = "Powers 1 to this are tried", .range = {1, 8}});
  list("no-training", o.train, {.help = "Measure at initialisation only; train no powers", .off = true});
  describe(list, o.training);
}

/// What an experiment takes beyond the trainings, which tell of themselves.
io::MemoryPlan memory_of(BoundsOptions const& o) {
  double const n = o.tokens.high;
  io::MemoryPlan plan;
  plan.add("matrices of scores", 3 * sizeof(float) * n * n);
  return plan;
}
io::MemoryPlan memory_of(GrowthOptions const& o) {
  io::MemoryPlan plan;
  plan.add("tokens", sizeof(float) * double(o.tokens.high) * (double(o.width) + 6 * double(o.head_width)));
  plan.add("projections", 2 * sizeof(float) * double(o.width) * double(o.head_width));
  return plan;
}
io::MemoryPlan memory_of(RecommendOptions const& o) {
  double const width = double(o.heads) * double(o.head_width);
  io::MemoryPlan plan;
  plan.add("parameters", sizeof(float) * double(o.depth) * 24 * width * width);
  plan.add("activations", sizeof(float) * double(o.samples) * double(o.tokens) * 14 * width);
  return plan;
}

class Theory {
 public:
  io::CommonOptions common;
  io::SettingList settings;

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
    app_ = &app;
    experiment("bounds", bounds_, "Theorem 4.1: norms of softmax on random and adversarial matrices");
    experiment("growth", growth_, "Theorems 4.2 and 4.4: how norms grow with the length, for all activations");
    experiment("sweep", sweep_, "Figure 1: accuracy of x^3/k over k, and the best k over the length");
    experiment("norms", norms_, "Figures 2, 3, 6, 7 and table 1: norms through training");
    experiment("architectures", architectures_, "Tables 2 and 5: softmax and powers in ViT, DeiT, Swin and XCiT");
    experiment("data", data_, "Write the canvases of garments that these learn from, as IDX files");
    experiment("heatmaps", heatmaps_, "Figures 4 and 5: attention matrices of the weights in --weights");
    experiment("recommend", recommend_, "The scale that an activation wants, and the powers that train");
  }

  void run() {
    ATTN_CHECK(!common.evaluate, "--evaluate: leave it out, no experiment evaluates alone");
    ATTN_CHECK(common.weights.empty() || chosen("heatmaps"), "--weights: leave it out, it belongs to heatmaps");
    for (TrainingOptions* const training :
         {&sweep_.training, &norms_.training, &architectures_.training, &recommend_.training}) {
      training->insist = common.insist;
    }
    if (chosen("bounds")) memory_of(bounds_).check(common.insist);
    if (chosen("growth")) memory_of(growth_).check(common.insist);
    if (chosen("recommend")) memory_of(recommend_).check(common.insist);
    if (chosen("bounds")) run_bounds(common, bounds_);
    if (chosen("growth")) run_growth(common, growth_);
    if (chosen("sweep")) run_sweep(common, sweep_);
    if (chosen("norms")) run_norms(common, norms_);
    if (chosen("architectures")) run_architectures(common, architectures_);
    if (chosen("data")) run_data(common, data_);
    if (chosen("heatmaps")) run_heatmaps(common, heatmaps_);
    if (chosen("recommend")) run_recommend(common, recommend_);
  }

 private:
  template <class Options>
  void experiment(char const* name, Options& options, char const* text) {
    CLI::App* const sub = app_->add_subcommand(name, text);
    sub->fallthrough();
    io::SettingList& list = lists_.emplace_back();
    describe(list, options);
    io::add_options(*sub, list);
  }
  bool chosen(std::string const& name) const { return app_->got_subcommand(name); }

  CLI::App* app_ = nullptr;
  std::deque<io::SettingList> lists_;  // one for each experiment
  BoundsOptions bounds_;
  GrowthOptions growth_;
  SweepOptions sweep_;
  NormsOptions norms_;
  ArchitecturesOptions architectures_;
  DataOptions data_;
  HeatmapsOptions heatmaps_;
  RecommendOptions recommend_;
};

}  // namespace

int main(int argc, char** argv) {
  Theory program;
  return attn::io::run_main(argc, argv, program);
}
