/// One run of train_vision: train, or evaluate, and what is known afterwards.
#pragma once

#include "attn/train/fit.hpp"

#include <string>
#include <vector>

#include "vision/judge.hpp"
#include "vision/settings.hpp"

namespace vision {

/// What the model says of one test image.
struct Prediction {
  std::size_t channels = 1, height = 0, width = 0;
  std::vector<std::uint8_t> pixels = {};  // (channels, height, width)
  std::string label = {};
  std::string predicted = {};
  bool right = false;
  double confidence = 0;  // probability of what is predicted
};

struct Outcome {
  std::string name;         // "x³ dynamic"
  io::Json run;             // for results.json
  io::Path directory = {};  // of the run's files
  bool interrupted = false;
  std::vector<Prediction> predictions = {};   // of some test images, drawn at random
  std::vector<AttentionMaps> attention = {};  // of the first of them, layer by layer
  Confusion confusion = {};                   // of all test images
  std::vector<std::string> class_names = {};  // one for each class
};

struct RunOptions {
  io::Path out;
  io::Path weights = {};  // to start from, or none
  bool resume = false;
  attn::train::StopRequest const* stop = nullptr;
  attn::train::World* world = nullptr;  // whose ranks train together; none: this process alone
};

/// Trains as the settings say. Leaves metrics.csv, checkpoint.safetensors and weights.safetensors in `options.out`.
Outcome train(Settings const& settings, ImageData const& data, RunOptions const& options);

/// Judges weights on the test images.
Outcome evaluate(Settings const& settings, ImageData const& data, io::Path const& weights, attn::train::World& world);

inline constexpr char const* program_name = "train_vision";  // in the descriptions of weights

/// What a model expects of its images: as weights describe it, else as its name says.
Wanted wanted(Settings const& settings, io::Json const& description, bool trains);

}  // namespace vision
