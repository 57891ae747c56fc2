// Trains, evaluates and asks classifiers of images with any activation; Fashion-MNIST without flags.
//
//   train_vision --activation poly --power 3 --scale dynamic --epochs 10 --out run
//   train_vision --weights run/weights.safetensors --evaluate
//   train_vision --recipe deit --data /data/imagenet --out run
//   train_vision --model swin_tiny_patch4_window7_224 --weights W.safetensors --predict X.npy --out answers
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
#include "vision/activations.hpp"
#include "vision/demo.hpp"
#include "vision/figures.hpp"
#include "vision/predict.hpp"
#include "vision/training.hpp"

namespace {

using namespace vision;

class TrainVision {
 public:
  static constexpr bool shares = true;
  io::CommonOptions common;
  io::SettingList settings;

  TrainVision() {
    common.out = "train_vision_run";
    common.activations = activations().names();
  }

  void add_options(CLI::App& app) {
    app.description(
        "Trains a classifier of images and judges it on others; evaluates weights, or predicts with them.\nLeaves "
        "results.json, metrics.csv, weights.safetensors, checkpoint.safetensors and figures in --out.");
    settings(
        "recipe", chosen_.recipe_name,
        {.help = "A published recipe, which sets what flags do not; --print-recipe shows it", .words = recipe_names()});
    settings("print-recipe", print_recipe_,
             {.help = "Print what --recipe sets, and exit", .needs = "recipe", .decides = false});
    settings("list-models", list_models_,
             {.help = "Print the names of --model with parameters and sizes of images, and exit", .decides = false});
    settings("predict", predict_,
             {.help = "Write the logits of images that have no labels to --out, without training: a .npy file (images, "
                      "channels, height, width) of float32, normalised already, or a folder of pictures",
              .needs = "weights",
              .decides = false});
    settings("resume", chosen_.resume,
             {.help = "Continue the run in --out from its checkpoint, to the same bits", .decides = false});
    settings("demo", demo_,
             {.help = "Train softmax, x^3, x^3 fixed and x^3 dynamic in turn, and compare them", .decides = false});
    describe(settings, chosen_);
  }

  int run() {
    if (list_models_) return print(model_table());
    std::string const model = given("model") ? chosen_.model.name : "";
    if (print_recipe_) return print(recipe_table(chosen_.recipe_name, model));
    if (given("recipe")) {
      settings.preset(published_recipe(chosen_.recipe_name, model), "--recipe " + chosen_.recipe_name);
    }
    named_model(chosen_.model.name);  // a name that is none is said before data is read
    chosen_.seed = common.seed;
    chosen_.insist = common.insist;
    chosen_.new_head = given("classes");
    take_activation(common, chosen_);
    attn::train::World world(chosen_.sharing);
    if (common.evaluate) return evaluate_weights(world);
    if (demo_ || given("predict")) world.check_alone(demo_ ? "--demo" : "--predict");
    if (given("predict")) return predict_images();
    if (demo_) return demo();
    return train_model(world);
  }

 private:
  bool given(char const* name) const { return settings.given(name); }

  int demo() {
    ATTN_CHECK(!given("activation") && !given("power") && !given("scale") && !given("weights"),
               "--demo: leave out --activation, --power, --scale and --weights, the demo has its own");
    io::OutputDirectory const out(common.out);
    if (!given("model") && !given("family")) use_demo_sizes(chosen_.model);
    if (!given("epochs") && !given("recipe")) chosen_.recipe.epochs = demo_epochs;
    return run_demo(chosen_, common.out, chosen_.resume);
  }

  static int print(std::string const& text) {
    std::cout << text;
    return 0;
  }

  int train_model(attn::train::World& world) {
    ATTN_CHECK(!(chosen_.resume && given("weights")), "--resume: leave out --weights, the checkpoint has them");
    std::optional<io::Json> description;
    if (given("weights")) {
      description = attn::train::read_description(common.weights, program_name);
      if (description && chosen_.new_head) description->erase("classes");
      if (description && chosen_.new_head) description->erase("class_names");
      adopt(description, common.weights);
    }
    if (chosen_.resume) {
      description = attn::train::read_run_description(common.out, program_name);
      adopt(description, attn::train::checkpoint_path(common.out));
    }
    std::optional<io::OutputDirectory> out;
    if (world.leads()) out.emplace(common.out);
    ImageData const data =
        load_data(chosen_.data, chosen_.recipe, wanted(chosen_, description.value_or(nullptr), /*trains=*/true));
    if (!given("batch")) chosen_.recipe.batch = std::min(chosen_.recipe.batch, data.train->size());
    attn::train::StopRequest const stop;
    Outcome const outcome =
        train(chosen_, data,
              {.out = common.out, .weights = common.weights, .resume = chosen_.resume, .stop = &stop, .world = &world});
    if (!world.leads()) return 0;
    if (outcome.interrupted) {
      std::cerr << "stopped after step " << outcome.run["steps"] << "; the same command with --resume continues"
                << std::endl;
      return stop.exit_code();
    }
    write_results(outcome);
    draw_figures(common.out, {outcome});
    print(outcome);
    return 0;
  }

  int evaluate_weights(attn::train::World& world) {
    ATTN_CHECK(!demo_ && !chosen_.resume, "--evaluate: leave out --demo and --resume");
    auto const description = attn::train::read_description(common.weights, program_name);
    adopt(description, common.weights);
    std::optional<io::OutputDirectory> out;
    if (given("out") && world.leads()) out.emplace(common.out).without_run();
    ImageData const data =
        load_data(chosen_.data, chosen_.recipe, wanted(chosen_, description.value_or(nullptr), /*trains=*/false));
    Outcome const outcome = evaluate(chosen_, data, common.weights, world);
    if (!world.leads()) return 0;
    if (given("out")) write_results(outcome);
    print(outcome);
    return 0;
  }

  int predict_images() {
    ATTN_CHECK(!demo_ && !chosen_.resume && given("weights"),
               "--predict: give --weights, and leave out --demo and --resume");
    auto const description = attn::train::read_description(common.weights, program_name);
    adopt(description, common.weights);
    io::OutputDirectory const out(common.out);
    out.without_run();
    predict(chosen_, predict_, common.weights, description.value_or(nullptr), common.out);
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
    write_classes(common.out / "classes.csv", outcome);
  }

  static void print(Outcome const& outcome) {
    auto const number = [&](char const* field) { return outcome.run[field].get<double>(); };
    std::printf("%s: test accuracy %.4f, test loss %.4f, %.0f test images, %.1f s\n", outcome.name.c_str(),
                number("test_accuracy"), number("test_loss"), number("test_images"), number("seconds"));
  }

  Settings chosen_;
  bool demo_ = false;
  bool print_recipe_ = false;
  bool list_models_ = false;
  io::Path predict_;
};

}  // namespace

int main(int argc, char** argv) {
  TrainVision program;
  return attn::io::run_main(argc, argv, program);
}
