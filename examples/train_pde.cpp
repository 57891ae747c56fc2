// Trains a PINNsFormer, with any activation, or a plain network to solve a differential equation.
//
//   train_pde --problem convection --activation poly --power 3 --scale dynamic --out run
//   train_pde --problem reaction --weights run/weights.safetensors --evaluate
#include "attn/io/options.hpp"

#include <map>

#include "pde/settings.hpp"

namespace {

using train_pde::Settings;

/// What a problem takes where no flag says otherwise: the recipe of its publication.
struct Recipe {
  double coefficient;
  int steps;
  double sequence_step;
  int (*run)(Settings const&);
};
std::map<std::string, Recipe> const recipes = {
    {"convection", {50, 500, 1e-4, train_pde::run_first_order}},
    {"reaction", {5, 500, 1e-4, train_pde::run_first_order}},
    {"wave", {2, 1000, 1e-4, train_pde::run_second_order}},
    {"burgers", {0.01 / 3.14159265358979323846, 500, 1e-4, train_pde::run_second_order}},
    {"navier-stokes", {0.01, 1000, 1e-2, train_pde::run_flow}},
};

class TrainPde {
 public:
  attn::io::CommonOptions common;

  void add_options(CLI::App& app) {
    namespace io = attn::io;
    Settings& s = settings_;
    common.out = "train_pde_run";
    app.description(
        "Solves a differential equation by training a network on its residual.\nLeaves results.json, metrics.csv, "
        "weights.safetensors, checkpoint.safetensors, prediction.npy and figures in --out.");
    app.add_option("--problem", s.problem, "Equation, with boundary and initial values")
        ->check(io::one_of({"convection", "reaction", "wave", "burgers", "navier-stokes"}));
    app.add_option("--model", s.model, "Network")->check(io::one_of({"pinnsformer", "pinn"}));
    app.add_option("--coefficient", s.coefficient,
                   "Speed of convection (50), rate of reaction (5), speed of the wave (2), viscosity (Burgers 0.01/pi, "
                   "flow 0.01); 0 takes this default")
        ->check(io::between(0.0, 1e6));
    app.add_option("--x-points", s.x_points, "Points of the training grid in x")->check(io::between(2, 100000));
    app.add_option("--t-points", s.t_points, "Points of the training grid in t")->check(io::between(2, 100000));
    app.add_option("--test-points", s.test_points, "Points of the test grid in x and in t")
        ->check(io::between(2, 10000));
    app.add_option("--sequence", s.sequence, "Steps of a pseudo-sequence; 0 takes 5, and 1 for pinn")
        ->check(io::between(0, 64));
    app.add_option("--sequence-step", s.sequence_step, "Time between these steps; 0 takes 1e-4, and 1e-2 for flows")
        ->check(io::between(0.0, 10.0));
    app.add_option("--derivative", s.derivative,
                   "total: all steps of a sequence move together; column: sum of the outputs by one step's coordinate, "
                   "as the published notebooks have it")
        ->check(io::one_of({"total", "column"}));
    app.add_option("--optimizer", s.optimizer, "Optimizer")->check(io::one_of({"lbfgs", "adam"}));
    app.add_option("--steps", s.steps, "Steps of the optimizer; 0 takes 500, and 1000 for wave and flows")
        ->check(io::between(0, 100000000));
    app.add_option("--max-iterations", s.max_iterations, "Iterations of one L-BFGS step")
        ->check(io::between(1, 1000000));
    app.add_option("--max-evaluations", s.max_evaluations,
                   "Loss evaluations of one L-BFGS step; 0: 5/4 of the iterations")
        ->check(io::between(0, 10000000));
    app.add_option("--history", s.history, "Pairs that L-BFGS remembers, 3.6 MB each")->check(io::between(1, 10000));
    app.add_option("--learning-rate", s.learning_rate, "Learning rate; 0 takes 1 for L-BFGS, 1e-3 for Adam")
        ->check(io::between(0.0, 100.0));
    app.add_option("--weight-residual", s.weight_residual, "Weight of the equation in the loss")
        ->check(io::between(0.0, 1e9));
    app.add_option("--weight-boundary", s.weight_boundary, "Weight of the boundary in the loss")
        ->check(io::between(0.0, 1e9));
    app.add_option("--weight-initial", s.weight_initial, "Weight of initial or measured values in the loss")
        ->check(io::between(0.0, 1e9));
    app.add_option("--ntk-every", s.ntk_every,
                   "Weigh the terms by the traces of their tangent kernels anew every so many steps; 0: never")
        ->check(io::between(0, 1000000));
    app.add_option("--scale-keys", s.scale_keys, "N of the factor 1/sqrt(N) of --scale fixed and dynamic")
        ->check(io::between(1, 1000000));
    app.add_option("--chunk", s.chunk, "Points that pass the network at once")->check(io::between(1, 100000));
    app.add_option("--samples", s.samples, "Measured points of a flow that are trained on")
        ->check(io::between(1, 10000000));
    app.add_option("--solution", s.solution,
                   "The truth: a .mat file with u (t, x) on the test grid, instead of the formula")
        ->check(io::existing_file());
    app.add_option("--data", s.data,
                   "Measured flow: a .mat file with U_star, p_star, t, X_star; else Taylor's vortices")
        ->check(io::existing_file());
    app.add_option("--checkpoint-every", s.checkpoint_every, "Steps between two checkpoints")
        ->check(io::between(1, 1000000));
    app.add_flag("--resume", s.resume, "Continue the run in --out from its checkpoint, to the same bits");
  }

  int run() {
    Settings s = settings_;
    s.common = common;
    Recipe const& recipe = recipes.at(s.problem);
    if (s.coefficient == 0) s.coefficient = recipe.coefficient;
    if (s.steps == 0) s.steps = recipe.steps;
    if (s.sequence == 0) s.sequence = s.model == "pinn" ? 1 : 5;
    if (s.sequence_step == 0) s.sequence_step = recipe.sequence_step;
    if (s.learning_rate == 0) s.learning_rate = s.optimizer == "lbfgs" ? 1 : 1e-3;
    ATTN_CHECK(!(s.resume && !s.common.weights.empty()), "--resume: leave out --weights, the checkpoint has them");
    ATTN_CHECK(s.derivative == "total" || s.problem == "convection" || s.problem == "reaction",
               "--derivative column: choose convection or reaction, other problems have second derivatives");
    ATTN_CHECK(s.solution.empty() || s.problem != "navier-stokes", "--solution: flows are given with --data");
    ATTN_CHECK(s.data.empty() || s.problem == "navier-stokes", "--data: belongs to --problem navier-stokes");
    attn::io::create_output_directory(s.common.out);
    return recipe.run(s);
  }

 private:
  Settings settings_;
};

}  // namespace

int main(int argc, char** argv) {
  TrainPde program;
  return attn::io::run_main(argc, argv, program);
}
