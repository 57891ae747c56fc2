// Everything that train_pde can be told.
#pragma once

#include "attn/io/common_options.hpp"
#include "attn/io/memory.hpp"
#include "attn/optim/gauss_newton.hpp"
#include "attn/pde/loss.hpp"
#include "attn/train/distributed/world.hpp"
#include "attn/train/every.hpp"

#include <string>

#include "pde/optimizers.hpp"

namespace train_pde {

struct Settings {
  attn::io::CommonOptions common;
  std::string problem = "convection";
  std::string model = "pinnsformer";
  double coefficient = 0;  // 0: the problem's own
  int x_points = 51;
  int t_points = 51;
  int test_points = 101;
  int sequence = 0;          // 0: 5 for a PINNsFormer, 1 for a plain network
  double sequence_step = 0;  // 0: the problem's own
  std::string derivative = "total";
  Optimizers optimizer;
  int steps = 0;  // 0: the problem's own
  int max_iterations = 20;
  int max_evaluations = 0;
  int history = 100;
  int products = 50;
  double damping = attn::optim::GaussNewtonOptions{}.damping;
  int step_points = 0;       // 0: all
  double learning_rate = 0;  // 0: 1e-3 where Adam takes part, else 1
  double weight_residual = 1;
  double weight_boundary = 1;
  double weight_initial = 1;
  int ntk_every = 0;
  double causal = 0;  // 0: all times weigh the same
  int spectrum = 0;   // points of each term
  int scale_keys = 51;
  attn::Index chunk = attn::pde::default_chunk;
  int samples = 2500;
  int watch_every = 0;  // 0: 1, and 100 for adam
  std::string precision = "fp32";
  attn::train::SharingOptions sharing;
  attn::train::Every checkpoint_every = {.steps = 20};
  bool resume = false;
  attn::io::Path solution;
  attn::io::Path data;

  attn::pde::LossOptions loss_options() const {
    return {.sequence = {.length = sequence, .step = sequence_step},
            .derivative = derivative == "total" ? attn::pde::Derivative::total : attn::pde::Derivative::column,
            .chunk = chunk};
  }
  /// Points of the training grid, or measured ones.
  double points() const { return problem == "navier-stokes" ? double(samples) : double(x_points) * double(t_points); }
  double weight(std::string const& term) const {
    if (term == "residual") return weight_residual;
    if (term == "boundary") return weight_boundary;
    return weight_initial;
  }
};

/// Everything but the flags that all trainers share.
void describe(attn::io::SettingList& list, Settings& settings);

/// All that the result of a run depends on, for results.json, for checkpoints, and for weights.
attn::io::Json results_of(Settings settings);

/// Takes over what weights say about their model, and the problem that they solve if they are to be judged.
void adopt(attn::io::SettingList& list, bool same_problem, attn::io::Json const& description,
           std::string const& source);

/// What a run takes.
attn::io::MemoryPlan memory_of(Settings const& settings);

// Each is compiled in a file of its own, since each compiles a network for its own jets. They return the exit code.
int run_first_order(Settings const& settings, attn::train::World& world);   // convection, reaction
int run_second_order(Settings const& settings, attn::train::World& world);  // wave, burgers, heat, allen-cahn
int run_flow(Settings const& settings, attn::train::World& world);          // navier-stokes

}  // namespace train_pde
