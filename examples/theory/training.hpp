/// Training of small networks for the experiments, with the models of train_vision; finished runs are kept.
#pragma once

#include <optional>
#include <string>

#include "theory/experiments.hpp"
#include "theory/fit.hpp"
#include "theory/lab.hpp"
#include "vision/training.hpp"

namespace theory {

/// The options with every number that was not given taken from their preset.
TrainingOptions complete(TrainingOptions options);

/// A border of zeros around images, to 32 x 32.
attn::data::Dataset pad(attn::data::Dataset dataset);

/// Canvases of 32 x 32, which patches of 2, 4, 8 and 8 x 16 tile into 256, 64, 16 and 8 tokens: garments, always the
/// same, or what --data names, with a black border. Throws `attn::Error` where there are fewer than the options want.
attn::data::Split images_of(TrainingOptions const& options);

/// What a training depends on, for results.json.
void note(Lab& lab, TrainingOptions const& options, attn::data::Split const& data);

/// 2 x 2, 4 x 4, 8 x 8 or 8 x 16 for 256, 64, 16 or 8 patches.
vision::Extent patch_for(int tokens);

/// What train_vision would be told, of a ViT whose head sees the class token.
vision::Settings settings_of(TrainingOptions const& options, vision::ActivationChoice const& activation, int tokens,
                             std::uint64_t seed);

/// The same network without attention: weights so small that adding what they weigh changes no number.
vision::ActivationChoice no_attention();

/// A network that was trained. Where loss or gradients were not finite it has the accuracy of a guess and `diverged`
/// set: that is a result of an experiment, not an error.
struct Run {
  std::string name;
  double accuracy = 0, train_accuracy = 0;
  bool diverged = false;
  double seconds = 0, processor_seconds = 0, parameters = 0;
  double first_frobenius = 0, last_frobenius = 0, first_jacobian = 0, last_jacobian = 0;  // means over layers
  attn::io::Path directory = {};  // with metrics.csv and weights
};

/// The runs of one command, kept in runs.csv of --out after each: what is finished is not trained again when the same
/// command is given once more after an interruption.
class Runs {
 public:
  /// Reads what is there. `data` must outlive this.
  Runs(Lab const& lab, attn::data::Split const& data);

  /// The run of that name: the one that is there, or a new one with its files in runs/NAME. Throws `attn::Error` where
  /// the one that is there had other settings or data.
  Run const& train(std::string const& name, vision::Settings const& settings);

  /// Runs of several seeds, NAME_seed0, ...
  std::vector<Run> train(std::string const& name, vision::Settings settings, std::uint64_t seed, int seeds);

  /// All runs that were asked for, for results.json.
  Table table() const;

 private:
  Run measure(std::string const& name, vision::Settings const& settings) const;
  void save(Run const& run, std::string const& print);

  Lab const& lab_;
  attn::data::Split const& data_;
  vision::ImageData images_;
  std::string data_print_;
  std::vector<std::pair<Run, std::string>> kept_;  // with what tells their settings apart
  std::vector<std::string> asked_ = {};
};

/// Means over runs, and half of the interval of 95 % (NaN of one run).
Estimate accuracy_of(std::vector<Run> const& runs);
double mean_of(std::vector<Run> const& runs, double Run::*number);
int diverged(std::vector<Run> const& runs);

/// "93.1 ± 0.4", in %.
std::string percent(Estimate const& accuracy);

/// Says so where the network without attention is not far below, so that a table shows nothing of attention.
void warn_unless_below(std::string const& what, Estimate const& none, Estimate const& softmax);

}  // namespace theory
