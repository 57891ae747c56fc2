#include "pde/settings.hpp"

#include "attn/optim/broyden.hpp"

#include <algorithm>

namespace train_pde {

namespace io = attn::io;

void describe(io::SettingList& list, Settings& s) {
  list("problem", s.problem,
       {.help = "Equation, with boundary and initial values",
        .words = {"convection", "reaction", "wave", "burgers", "heat", "allen-cahn", "navier-stokes"}});
  list("model", s.model, {.help = "Network", .words = {"pinnsformer", "pinn"}, .model = true});
  list("coefficient", s.coefficient,
       {.help = "Speed of convection (50), rate of reaction (5), speed of the wave (2), viscosity (Burgers 0.01/pi, "
                "flow 0.01), conductivity (heat 0.1, Allen-Cahn 1e-4); 0 takes this default",
        .range = {0, 1e6}});
  list("x-points", s.x_points, {.help = "Points of the training grid in x", .range = {2, 100000}, .decides = false});
  list("t-points", s.t_points, {.help = "Points of the training grid in t", .range = {2, 100000}, .decides = false});
  list("test-points", s.test_points,
       {.help = "Points of the test grid in x and in t", .range = {2, 10000}, .decides = false});
  list("sequence", s.sequence,
       {.help = "Steps of a pseudo-sequence; 0 takes 5, and 1 for pinn", .range = {0, 64}, .model = true});
  list("sequence-step", s.sequence_step,
       {.help = "Time between these steps; 0 takes 1e-4, and 1e-2 for flows", .range = {0, 10}, .model = true});
  list("derivative", s.derivative,
       {.help = "total: all steps of a sequence move together; column: sum of the outputs by one step's coordinate, as "
                "the published notebooks have it",
        .words = {"total", "column"}});
  list("optimizer", s.optimizer,
       {.help = "lbfgs, broyden, gauss-newton, levenberg-marquardt or adam, or several in a row: adam:1000,broyden "
                "takes 1000 steps of the first"});
  list("steps", s.steps,
       {.help = "Steps of the optimizer; 0 takes 500, and 1000 for wave and flows",
        .range = {0, 100000000},
        .decides = false});
  list("max-iterations", s.max_iterations,
       {.help = "Iterations of one step of L-BFGS or Broyden", .range = {1, 1000000}});
  list("max-evaluations", s.max_evaluations,
       {.help = "Loss evaluations of one such step; 0: 5/4 of the iterations", .range = {0, 10000000}});
  list("history", s.history,
       {.help = "Pairs that L-BFGS remembers (100), and after which Broyden begins anew (500), 3.6 MB each",
        .range = {1, 10000}});
  list("products", s.products,
       {.help = "Products with its matrix in one step of Gauss-Newton, 2.3 evaluations each",
        .range = {1, 1000000},
        .decides = false});
  list("damping", s.damping,
       {.help = "Damping of Gauss-Newton at its start, in units of the curvature along the gradient",
        .range = {0, 1e9},
        .decides = false});
  list("step-points", s.step_points,
       {.help = "Points of each term in one step of Gauss-Newton or Levenberg-Marquardt, drawn anew in each; 0: all",
        .range = {0, 100000000},
        .decides = false});
  list("learning-rate", s.learning_rate,
       {.help = "Learning rate of Adam (1e-3), and without Adam of line searches (1); 0 takes these",
        .range = {0, 100}});
  auto const weight = [&](char const* name, double& value, char const* what) {
    list(name, value, {.help = std::string("Weight of ") + what + " in the loss", .range = {0, 1e9}, .decides = false});
  };
  weight("weight-residual", s.weight_residual, "the equation");
  weight("weight-boundary", s.weight_boundary, "the boundary");
  weight("weight-initial", s.weight_initial, "initial or measured values");
  list("ntk-every", s.ntk_every,
       {.help = "Weigh the terms by the traces of their tangent kernels anew every so many steps; 0: never",
        .range = {0, 1000000}});
  list("causal", s.causal,
       {.help = "Weigh the equation at each time by exp(-this times the sum of its mean squares before), anew in each "
                "step; 0: all times alike",
        .range = {0, 1e9},
        .decides = false});
  list("spectrum", s.spectrum,
       {.help = "Compute the eigenvalues of the tangent kernel of so many points of each term, or all of a smaller "
                "one, before and after training; 0: none",
        .range = {0, 1000},
        .decides = false});
  list("scale-keys", s.scale_keys,
       {.help = "N of the factor 1/sqrt(N) of --scale fixed and dynamic", .range = {1, 1000000}, .model = true});
  list("precision", s.precision,
       {.help = "Numbers between layers: fp32 alone, for derivatives need more digits than numbers of two bytes have",
        .words = {"fp32", "bf16", "fp16"},
        .decides = false});
  list("chunk", s.chunk, {.help = "Points that pass the network at once", .range = {1, 100000}});
  list("samples", s.samples, {.help = "Measured points of a flow that are trained on", .range = {1, 10000000}});
  list("solution", s.solution,
       {.help = "The truth: a .mat file with u (t, x) on the test grid, instead of the formula",
        .file = true,
        .decides = false});
  list("data", s.data,
       {.help = "Measured flow: a .mat file with U_star, p_star, t, X_star; else Taylor's vortices", .file = true});
  list("watch-every", s.watch_every,
       {.help = "Steps between two looks at the errors against the truth, which enter metrics.csv; 0: 1, of adam 100",
        .range = {0, 100000000},
        .decides = false});
  list("checkpoint-every", s.checkpoint_every,
       {.help = "Steps, or a time like 10m, between two checkpoints", .decides = false});
  list("resume", s.resume,
       {.help = "Continue the run in --out from its checkpoint, to the same bits", .decides = false});
  describe_sums(list, s.sharing);
}

io::Json results_of(Settings s) {
  io::Json run = {{"problem", nullptr},  // these have their places and get their values below
                  {"model", nullptr},
                  {"activation", s.model == "pinn" ? "none" : s.common.activation},
                  {"power", s.common.power},
                  {"scale", s.common.scale},
                  {"seed", s.common.seed},
                  {"coefficient", nullptr},
                  {"grid", {s.x_points, s.t_points}}};
  for (char const* const field : {"sequence", "sequence_step", "derivative", "optimizer", "max_iterations",
                                  "max_evaluations", "history", "learning_rate"}) {
    run[field] = nullptr;
  }
  run["loss_weights"] = {s.weight_residual, s.weight_boundary, s.weight_initial};
  io::SettingList list;
  describe(list, s);
  list.write(run);
  bool const newton = s.optimizer.use("gauss-newton");  // checkpoints of other runs never had these
  if (newton) {
    run["products"] = s.products;
    run["damping"] = s.damping;
  }
  if (newton || s.optimizer.use("levenberg-marquardt")) run["step_points"] = s.step_points;
  if (s.causal > 0) run["causal"] = s.causal;
  return run;
}

void adopt(io::SettingList& list, bool same_problem, io::Json const& description, std::string const& source) {
  // Training may start from the weights of another problem; judging weights by one is a mistake.
  for (char const* const name : {"problem", "coefficient"}) list.at(name).about.model = same_problem;
  io::Json model = description;
  if (model.is_object() && model.contains("model") && model["model"] == "pinn") model.erase("activation");
  io::adopt(list, model, source);
}

io::MemoryPlan memory_of(Settings const& s) {
  bool const plain = s.model == "pinn", pairwise = s.optimizer.use("lbfgs") || s.optimizer.use("broyden"),
             flow = s.problem == "navier-stokes";
  bool const first_order = s.problem == "convection" || s.problem == "reaction";
  double const real = sizeof(float), parameters = plain ? 527361 : 454141;
  // Derivatives that pass through the network together, the value among them: of a stream function up to the third.
  double const planes = flow ? 13 : s.problem == "wave" ? 5 : first_order ? 2 : 4;
  double const grid = s.points();
  double const judged = double(s.test_points) * double(s.test_points);
  double const pairs = pairwise ? std::min(double(s.history), double(s.steps) * double(s.max_iterations)) : 0;
  // What a step of a sequence leaves behind: five layers of 512 of three numbers each (input, output, slope), or the
  // encoder, the decoder and the head.
  double const step = plain ? 15 * 512 : 2 * (12 * 32 + 6 * 256) + 6 * 512;
  io::MemoryPlan plan;
  plan.add("program", 25e6);
  bool const newton = s.optimizer.use("gauss-newton");
  plan.add("parameters", real * parameters * (newton ? 13 : 8));
  // Of Broyden's method the changes of the last updates, too; and what of these is written to the disk.
  double const changes =
      s.optimizer.use("broyden") ? std::min({pairs, double(attn::optim::BroydenOptions{}.recent), s.history / 2.0}) : 0;
  plan.add("history", real * parameters * (4 * pairs + 2 * changes));
  // Gauss-Newton keeps a term's points twice, and five vectors of residuals: steps of points
  plan.add("points", sizeof(double) * ((newton ? 11 + 5 * double(std::max(s.sequence, 1)) : 7) * grid + 15 * judged));
  plan.add("activations of a chunk",
           real * std::min(double(s.chunk), grid) * double(std::max(s.sequence, 1)) * planes * step);
  if (s.optimizer.use("levenberg-marquardt")) {  // rows for points, boundaries and initial values
    double const points = s.step_points > 0 ? std::min(double(s.step_points), grid) : grid;
    double const rows = (flow ? 5 : 1) * points + (flow ? 0 : 2.0 * (s.x_points + s.t_points));
    plan.add("Jacobian", real * parameters * rows + 3 * sizeof(double) * rows * rows);
  }
  plan.add("gradients of the spectrum", real * parameters * 4 * s.spectrum * double(std::max(s.sequence, 1)));
  return plan;
}

}  // namespace train_pde
