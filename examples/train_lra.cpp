// Trains and evaluates Nyströmformer, or a transformer with full attention, with any activation on a task of the Long
// Range Arena. ListOps and Pathfinder generate themselves.
//
//   train_lra --task listops --activation poly --power 3 --scale dynamic --steps 500 --out run
//   train_lra --task listops --steps 500 --weights run/weights.safetensors --evaluate
#include "attn/io/options.hpp"
#include "attn/io/output_directory.hpp"
#include "attn/io/results.hpp"
#include "attn/train/description.hpp"

#include <cstdio>
#include <iostream>
#include <optional>

#include "commit.hpp"
#include "lra/activations.hpp"
#include "lra/training.hpp"

namespace {

using namespace lra;

class TrainLra {
 public:
  static constexpr bool shares = true;
  io::CommonOptions common;
  io::SettingList settings;

  TrainLra() {
    common.out = "train_lra_run";
    common.activations = activations().names();
  }

  void add_options(CLI::App& app) {
    app.description(
        "Trains a transformer on long sequences by the published recipe of the task, and judges it on test data with "
        "the weights that were best on development data.\nLeaves results.json, metrics.csv, weights.safetensors, "
        "checkpoint.safetensors and figures in --out.");
    settings("task", chosen_.task,
             {.help = "What is learned", .words = task_names(), .required = true, .decides = false});
    settings("resume", chosen_.resume,
             {.help = "Continue the run in --out from its checkpoint, to the same bits", .decides = false});
    describe(settings, chosen_);
  }

  int run() {
    bool const from_weights = settings.given("weights");
    ATTN_CHECK(!(from_weights && chosen_.resume), "--resume: leave out --weights, the checkpoint has them");
    auto const adopt = [&](auto const& description, io::Path const& file) {
      if (!description) return;
      io::adopt(settings, *description, "'" + file.string() + "'");
      io::Json const said = description->value("task", io::Json(nullptr));
      std::string const task = said.is_string() ? said.get<std::string>() : chosen_.task;
      ATTN_CHECK(task == chosen_.task, "--task: '", file.string(), "' knows ", task, ", not ", chosen_.task,
                 "; give --task ", task, ", or weights of ", chosen_.task);
    };
    if (from_weights) adopt(attn::train::read_description(common.weights, program_name), common.weights);
    if (chosen_.resume) {
      adopt(attn::train::read_run_description(common.out, program_name), attn::train::checkpoint_path(common.out));
    }
    chosen_.model.activation = common.activation;
    chosen_.model.power = common.power;
    chosen_.model.scale = common.scale;
    chosen_.seed = common.seed;
    chosen_.insist = common.insist;
    check(chosen_);
    attn::train::World world(chosen_.sharing);
    std::optional<io::OutputDirectory> out;
    if (world.leads()) out.emplace(common.out);
    if (world.leads() && common.evaluate) out->without_run();
    auto const data = load_data(chosen_);
    attn::train::StopRequest const stop;
    Outcome const outcome = common.evaluate ? evaluate(chosen_, data, common.weights, world)
                                            : train(chosen_, data, {common.out, common.weights, &stop, world});
    if (!world.leads()) return 0;
    if (outcome.interrupted) {
      std::cerr << "stopped after step " << outcome.run["steps"] << "; the same command with --resume continues"
                << std::endl;
      return stop.exit_code();
    }
    io::Results results(built_from_commit);
    results.add(outcome.run);
    results.write(common.out / "results.json");
    if (!common.evaluate) draw_figures(common.out, chosen_);
    std::printf("%s, %s: test accuracy %.4f, test loss %.4f, %.0f test examples, %.1f s\n", chosen_.task.c_str(),
                chosen_.model.name().c_str(), outcome.run["test_accuracy"].get<double>(),
                outcome.run["test_loss"].get<double>(), outcome.run["test_examples"].get<double>(),
                outcome.run["seconds"].get<double>());
    return 0;
  }

 private:
  Settings chosen_;
};

}  // namespace

int main(int argc, char** argv) {
  TrainLra program;
  return attn::io::run_main(argc, argv, program);
}
