/// One run of train_lra: training, the test, and what is kept of it.
#pragma once

#include "attn/train/stop.hpp"

#include "lra/settings.hpp"

namespace lra {

struct RunOptions {
  io::Path out;
  io::Path weights;  // to start from; empty: none
  attn::train::StopRequest const* stop = nullptr;
  attn::train::World& world;  // whose ranks work together
};

struct Outcome {
  io::Json run;  // for results.json
  bool interrupted = false;
};

/// Trains, then judges the weights that were best on development data on test data.
Outcome train(Settings const& settings, attn::data::SequenceSplits const& data, RunOptions const& options);

/// Judges weights on test data.
Outcome evaluate(Settings const& settings, attn::data::SequenceSplits const& data, io::Path const& weights,
                 attn::train::World& world);

inline constexpr char const* program_name = "train_lra";  // in the descriptions of weights

/// Draws loss.png, accuracy.png, optimization.png and, where the activation is trained, scales.png from metrics.csv.
void draw_figures(io::Path const& out, Settings const& settings);

}  // namespace lra
