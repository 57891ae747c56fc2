/// One run of train_vision: train, or evaluate, and what is known afterwards.
#pragma once

#include "attn/train/fit.hpp"

#include <string>
#include <vector>

#include "vision/settings.hpp"

namespace vision {

/// What the model says of one test image.
struct Prediction {
  std::size_t image = 0;
  int label = 0;
  int predicted = 0;
  double confidence = 0;  // its probability
};

struct Outcome {
  std::string name;         // "x³ dynamic"
  io::Json run;             // for results.json
  io::Path directory = {};  // of the run's files
  bool interrupted = false;
  attn::Index heads = 0, tokens = 0;
  std::vector<AttentionMaps> attention = {};  // of the first test image, layer by layer
  std::vector<Prediction> predictions = {};   // of some test images
};

struct RunOptions {
  io::Path out;
  io::Path weights = {};  // to start from, or none
  bool resume = false;
  attn::train::StopRequest const* stop = nullptr;
};

/// Trains as the settings say. Leaves metrics.csv, checkpoint.safetensors and weights.safetensors in `options.out`.
Outcome train(Settings const& settings, attn::data::Split const& data, RunOptions const& options);

/// Judges weights on the test images.
Outcome evaluate(Settings const& settings, attn::data::Split const& data, io::Path const& weights);

inline constexpr char const* program_name = "train_vision";  // in the descriptions of weights

/// The test data alone, scaled as the description says; for evaluation, without the training data.
attn::data::Split load_test_data(DataSettings const& settings, io::Json const& description);

}  // namespace vision
