/// One run of train_lra: training, the test, and what is kept of it.
#pragma once

#include "attn/train/stop.hpp"

#include <functional>

#include "lra/settings.hpp"

namespace lra {

struct RunOptions {
  io::Path out;
  io::Path weights;  // to start from; empty: none
  attn::train::StopRequest const* stop = nullptr;
};

struct Outcome {
  io::Json run;  // for results.json
  bool interrupted = false;
};

/// Throws where settings contradict one another, before any work is done.
void check(Settings const& settings);

/// Trains, then judges the weights that were best on development data on test data.
Outcome train(Settings const& settings, attn::data::SequenceSplits const& data, RunOptions const& options);

/// Judges weights on test data.
Outcome evaluate(Settings const& settings, attn::data::SequenceSplits const& data, io::Path const& weights);

/// Takes the settings of the model that a weights file describes itself with, where no flag says otherwise. Published
/// weights have no description; flags must fit them.
void adopt(ModelSettings& model, io::Path const& weights, std::function<bool(char const*)> const& given);

/// Draws loss.png and accuracy.png from metrics.csv.
void draw_figures(io::Path const& out, Settings const& settings);

}  // namespace lra
