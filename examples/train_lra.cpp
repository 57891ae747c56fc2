// Trains and evaluates Nyströmformer, or a transformer with full attention, with any activation on a task of the Long
// Range Arena. ListOps and Pathfinder generate themselves.
//
//   train_lra --task listops --activation poly --power 3 --scale dynamic --steps 500 --out run
//   train_lra --task listops --out run --steps 500 --weights run/weights.safetensors --evaluate
#include "attn/io/options.hpp"

#include <cstdio>
#include <iostream>

#include "commit.hpp"
#include "lra/training.hpp"

namespace {

using namespace lra;

class TrainLra {
 public:
  io::CommonOptions common;

  TrainLra() { common.out = "train_lra_run"; }

  void add_options(CLI::App& app) {
    app.description(
        "Trains a transformer on long sequences by the published recipe of the task, and judges it on test data with "
        "the weights that were best on development data.\nLeaves results.json, metrics.csv, weights.safetensors, "
        "checkpoint.safetensors and figures in --out.");
    lra::add_options(app, settings_);
    app.add_flag("--resume", settings_.resume, "Continue the run in --out from its checkpoint, to the same bits");
    app_ = &app;
  }

  int run() {
    settings_.model.activation = common.activation;
    settings_.model.power = common.power;
    settings_.model.scale = common.scale;
    settings_.seed = common.seed;
    if (app_->count("--weights") > 0) {
      ATTN_CHECK(!settings_.resume, "--resume: leave out --weights, the checkpoint has them");
      adopt(settings_.model, common.weights, [&](char const* flag) { return app_->count(flag) > 0; });
    }
    check(settings_);
    io::create_output_directory(common.out);
    auto const data = load_data(settings_);
    attn::train::StopRequest const stop;
    Outcome const outcome = common.evaluate ? evaluate(settings_, data, common.weights)
                                            : train(settings_, data, {common.out, common.weights, &stop});
    if (outcome.interrupted) {
      std::cerr << "stopped after step " << outcome.run["steps"] << "; the same command with --resume continues"
                << std::endl;
      return stop.exit_code();
    }
    io::Results results(built_from_commit);
    results.add(outcome.run);
    results.write(common.out / "results.json");
    if (!common.evaluate) draw_figures(common.out, settings_);
    std::printf("%s, %s: test accuracy %.4f, test loss %.4f, %.0f test examples, %.1f s\n", settings_.task.c_str(),
                settings_.model.name().c_str(), outcome.run["test_accuracy"].get<double>(),
                outcome.run["test_loss"].get<double>(), outcome.run["test_examples"].get<double>(),
                outcome.run["seconds"].get<double>());
    return 0;
  }

 private:
  Settings settings_;
  CLI::App const* app_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  TrainLra program;
  return attn::io::run_main(argc, argv, program);
}
