/// Training of small vision transformers for the experiments, with the models of train_vision.
#pragma once

#include <string>

#include "theory/experiments.hpp"
#include "theory/lab.hpp"
#include "vision/training.hpp"

namespace theory {

/// The options with every number that was not given taken from their preset.
TrainingOptions complete(TrainingOptions options);

/// A border of zeros around images, to 32 x 32.
attn::data::Dataset pad(attn::data::Dataset dataset);

/// Images with a black border to 32 x 32, which patches of 2, 4, 8 and 8 x 16 tile into 256, 64, 16 and 8 tokens.
/// Throws `attn::Error` where there are fewer than the options want.
attn::data::Split padded_images(TrainingOptions const& options);

/// What a training depends on, for results.json.
void note(Lab& lab, TrainingOptions const& options, attn::data::Split const& data);

/// 2 x 2, 4 x 4, 8 x 8 or 8 x 16 for 256, 64, 16 or 8 patches.
vision::Extent patch_for(int tokens);

/// What train_vision would be told.
vision::Settings settings_of(TrainingOptions const& options, vision::ActivationChoice const& activation, int tokens,
                             std::uint64_t seed);

/// One run, with its files in `out`. A run whose loss or gradients are not finite has the accuracy of a guess and
/// `diverged` set: that is a result of an experiment, not an error.
struct Run {
  vision::Outcome outcome = {};
  double accuracy = 0;
  bool diverged = false;
};
Run train(vision::Settings const& settings, attn::data::Split const& data, attn::io::Path const& out);

}  // namespace theory
