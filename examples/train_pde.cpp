// Trains a PINNsFormer, with any activation, or a plain network to solve a differential equation.
//
//   train_pde --problem convection --activation poly --power 3 --scale dynamic --out run
//   train_pde --problem reaction --weights run/weights.safetensors --evaluate
#include "attn/io/options.hpp"
#include "attn/io/output_directory.hpp"
#include "attn/train/description.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pde/activations.hpp"
#include "pde/settings.hpp"

namespace {

using train_pde::Settings;

/// What a problem takes where no flag says otherwise: the recipe of its publication.
struct Recipe {
  double coefficient;
  int steps;
  double sequence_step;
  int (*run)(Settings const&, attn::train::World& world);
};
std::map<std::string, Recipe> const recipes = {
    {"convection", {50, 500, 1e-4, train_pde::run_first_order}},
    {"reaction", {5, 500, 1e-4, train_pde::run_first_order}},
    {"wave", {2, 1000, 1e-4, train_pde::run_second_order}},
    {"burgers", {0.01 / 3.14159265358979323846, 500, 1e-4, train_pde::run_second_order}},
    {"heat", {0.1, 500, 1e-4, train_pde::run_second_order}},
    {"allen-cahn", {1e-4, 500, 1e-4, train_pde::run_second_order}},
    {"navier-stokes", {0.01, 1000, 1e-2, train_pde::run_flow}},
};

class TrainPde {
 public:
  static constexpr bool shares = true;
  attn::io::CommonOptions common;
  attn::io::SettingList settings;

  TrainPde() { common.activations = train_pde::activations().names(); }

  void add_options(CLI::App& app) {
    common.out = "train_pde_run";
    app.description(
        "Solves a differential equation by training a network on its residual.\nLeaves results.json, metrics.csv, "
        "weights.safetensors, checkpoint.safetensors, prediction.npy and figures in --out.");
    train_pde::describe(settings, chosen_);
  }

  int run() {
    bool const from_weights = settings.given("weights");
    ATTN_CHECK(!(chosen_.resume && from_weights), "--resume: leave out --weights, the checkpoint has them");
    auto const adopt = [&](auto const& description, attn::io::Path const& file) {
      bool const same_problem = common.evaluate || chosen_.resume;
      if (description) train_pde::adopt(settings, same_problem, *description, "'" + file.string() + "'");
    };
    if (from_weights) adopt(attn::train::read_description(common.weights, "train_pde"), common.weights);
    if (chosen_.resume) {
      adopt(attn::train::read_run_description(common.out, "train_pde"), attn::train::checkpoint_path(common.out));
    }
    Settings s = chosen_;
    s.common = common;
    ATTN_CHECK(
        s.precision == "fp32",
        "--precision: leave it at fp32; derivatives of a network need more digits than numbers of two bytes have");
    Recipe const& recipe = recipes.at(s.problem);
    if (s.coefficient == 0) s.coefficient = recipe.coefficient;
    if (s.steps == 0) s.steps = recipe.steps;
    if (s.sequence == 0) s.sequence = s.model == "pinn" ? 1 : 5;
    if (s.sequence_step == 0) s.sequence_step = recipe.sequence_step;
    if (s.learning_rate == 0) s.learning_rate = s.optimizer.use("adam") ? 1e-3 : 1;
    if (s.optimizer.use("broyden") && !settings.given("history")) s.history = 500;
    struct Owned {
      char const* flag;
      std::vector<char const*> optimizers;
    };
    for (auto const& [flag, optimizers] : {Owned{"products", {"gauss-newton"}},
                                           {"damping", {"gauss-newton"}},
                                           {"step-points", {"gauss-newton", "levenberg-marquardt"}},
                                           {"max-iterations", {"lbfgs", "broyden"}},
                                           {"max-evaluations", {"lbfgs", "broyden"}},
                                           {"history", {"lbfgs", "broyden"}},
                                           {"learning-rate", {"lbfgs", "broyden", "adam"}}}) {
      std::string all;
      for (char const* const name : optimizers) all += (all.empty() ? "" : " or ") + std::string(name);
      ATTN_CHECK(
          std::ranges::any_of(optimizers, [&](auto name) { return s.optimizer.use(name); }) || !settings.given(flag),
          "--", flag, ": belongs to --optimizer ", all);
    }
    ATTN_CHECK(s.step_points <= s.points(), "--step-points: ask for at most ", s.points(),
               ", as many as are trained on, got ", s.step_points);
    ATTN_CHECK(s.spectrum <= s.points(), "--spectrum: ask for at most ", s.points(),
               " points, as many as are trained on, got ", s.spectrum);
    ATTN_CHECK(s.derivative == "total" || s.problem == "convection" || s.problem == "reaction",
               "--derivative column: choose convection or reaction, other problems have second derivatives");
    ATTN_CHECK(s.solution.empty() || s.problem != "navier-stokes", "--solution: flows are given with --data");
    ATTN_CHECK(s.data.empty() || s.problem == "navier-stokes", "--data: belongs to --problem navier-stokes");
    train_pde::memory_of(s).check(common.insist);
    attn::train::World world(s.sharing);
    if (common.evaluate) world.check_alone("--evaluate");
    if (s.optimizer.use("gauss-newton")) world.check_alone("--optimizer gauss-newton");
    if (s.optimizer.use("levenberg-marquardt")) world.check_alone("--optimizer levenberg-marquardt");
    std::optional<attn::io::OutputDirectory> out;
    if (world.leads()) out.emplace(common.out);
    if (world.leads() && common.evaluate) out->without_run();
    return recipe.run(s, world);
  }

 private:
  Settings chosen_;
};

}  // namespace

int main(int argc, char** argv) {
  TrainPde program;
  return attn::io::run_main(argc, argv, program);
}
