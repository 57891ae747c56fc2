// Trains and evaluates a vision transformer with any activation on images in IDX files; Fashion-MNIST without flags.
//
//   train_vision --activation poly --power 3 --scale dynamic --epochs 10 --out run
//   train_vision --weights run/weights.safetensors --evaluate
//   train_vision --demo --out demo
#include "attn/io/options.hpp"
#include "attn/io/output_directory.hpp"
#include "attn/io/results.hpp"
#include "attn/train/description.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <optional>

#include "commit.hpp"
#include "vision/demo.hpp"
#include "vision/figures.hpp"

namespace {

using namespace vision;

class TrainVision {
 public:
  io::CommonOptions common;
  io::SettingList settings;

  TrainVision() {
    common.out = "train_vision_run";
    common.activations = activations().names();
  }

  void add_options(CLI::App& app) {
    app.description(
        "Trains a vision transformer on images in IDX files and judges it on others.\nLeaves results.json, "
        "metrics.csv, "
        "weights.safetensors, checkpoint.safetensors and figures in --out.");
    settings("resume", chosen_.resume,
             {.help = "Continue the run in --out from its checkpoint, to the same bits", .decides = false});
    settings("demo", demo_,
             {.help = "Train softmax, x^3, x^3 fixed and x^3 dynamic in turn, and compare them", .decides = false});
    describe(settings, chosen_);
  }

  int run() {
    chosen_.activation = {common.activation, common.power, common.scale};
    chosen_.seed = common.seed;
    chosen_.insist = common.insist;
    if (common.evaluate) return evaluate_weights();
    if (demo_) return demo();
    return train_model();
  }

 private:
  bool given(char const* name) const { return settings.given(name); }

  int demo() {
    ATTN_CHECK(!given("activation") && !given("power") && !given("scale") && !given("weights"),
               "--demo: leave out --activation, --power, --scale and --weights, the demo has its own");
    io::OutputDirectory const out(common.out);
    return run_demo(chosen_, common.out, chosen_.resume);
  }

  int train_model() {
    ATTN_CHECK(!(chosen_.resume && given("weights")), "--resume: leave out --weights, the checkpoint has them");
    if (given("weights")) adopt(attn::train::read_description(common.weights, program_name), common.weights);
    if (chosen_.resume) {
      adopt(attn::train::read_run_description(common.out, program_name), attn::train::checkpoint_path(common.out));
    }
    io::OutputDirectory const out(common.out);
    attn::data::Split const data = load_data(chosen_.data);
    if (!given("batch")) chosen_.recipe.batch = std::min(chosen_.recipe.batch, data.train.count);
    attn::train::StopRequest const stop;
    Outcome const outcome =
        train(chosen_, data, {.out = common.out, .weights = common.weights, .resume = chosen_.resume, .stop = &stop});
    if (outcome.interrupted) {
      std::cerr << "stopped after step " << outcome.run["steps"] << "; the same command with --resume continues"
                << std::endl;
      return stop.exit_code();
    }
    write_results(outcome);
    draw_figures(common.out, {outcome}, data.test);
    print(outcome);
    return 0;
  }

  int evaluate_weights() {
    ATTN_CHECK(!demo_ && !chosen_.resume, "--evaluate: leave out --demo and --resume");
    auto const description = attn::train::read_description(common.weights, program_name);
    adopt(description, common.weights);
    std::optional<io::OutputDirectory> out;
    if (given("out")) out.emplace(common.out).without_run();
    Outcome const outcome =
        evaluate(chosen_, load_test_data(chosen_.data, description.value_or(nullptr)), common.weights);
    if (given("out")) write_results(outcome);
    print(outcome);
    return 0;
  }

  /// What a file says of its model; of the weights of others, which say nothing, the flags say what they are.
  void adopt(std::optional<io::Json> const& description, io::Path const& file) {
    if (description) vision::adopt(settings, common, chosen_, *description, "'" + file.string() + "'");
  }

  void write_results(Outcome const& outcome) const {
    io::Results results(built_from_commit);
    results.add(outcome.run);
    results.write(common.out / "results.json");
  }

  static void print(Outcome const& outcome) {
    auto const number = [&](char const* field) { return outcome.run[field].get<double>(); };
    std::printf("%s: test accuracy %.4f, test loss %.4f, %.0f test images, %.1f s\n", outcome.name.c_str(),
                number("test_accuracy"), number("test_loss"), number("test_images"), number("seconds"));
  }

  Settings chosen_;
  bool demo_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  TrainVision program;
  return attn::io::run_main(argc, argv, program);
}
