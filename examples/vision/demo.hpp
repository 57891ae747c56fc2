/// The demo: one small ViT, four activations, and what became of each.
#pragma once

#include "vision/training.hpp"

namespace vision {

/// What the demo trains where nothing else is said: 49 tokens of Fashion-MNIST, in a few minutes on two cores.
inline constexpr std::uint64_t demo_epochs = 3;
void use_demo_sizes(ModelSettings& model);

/// Trains with softmax, x³, x³ fixed and x³ dynamic into directories below `out`, and writes results.json, metrics.csv,
/// report.html and the figures there. With `resume`, runs that are complete are not repeated and an interrupted one is
/// continued. Returns the exit code.
int run_demo(Settings const& settings, io::Path const& out, bool resume);

}  // namespace vision
