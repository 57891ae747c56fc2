/// Settings: everything that train_vision can be told, apart from the flags that all trainers share.
#pragma once

#include "attn/data/batches.hpp"
#include "attn/data/idx.hpp"
#include "attn/io/common_options.hpp"
#include "attn/io/memory.hpp"
#include "attn/optim/schedule.hpp"
#include "attn/train/every.hpp"

#include <cstdint>
#include <optional>
#include <string>

#include "vision/classifier.hpp"

namespace vision {

namespace io = attn::io;

/// Height and width, in text "4x7", or "4" for both.
struct Patch {
  int height = 0, width = 0;

  static constexpr char const* wanted = "a size like 4, or 4x7 for height and width";
  static constexpr char const* kind = "SIZE";
  static std::optional<Patch> parse(std::string const& text);
  static std::optional<Patch> from_json(io::Json const& json);
  std::string text() const;
  io::Json json() const { return {height, width}; }
};

/// Numbers of the model. What is not given comes from the preset. These defaults and those of the recipe are the
/// demo's: chosen so that a few epochs on two cores are enough.
struct ModelSettings {
  std::string preset = "small";
  std::optional<Patch> patch;
  std::optional<int> width;
  std::optional<int> depth;
  std::optional<int> heads;
  double mlp_ratio = 4;
  double drop = 0;
  double drop_path = 0;
  std::string pool = "mean";
  bool scale_per_head = false;
};

struct Recipe {
  std::uint64_t epochs = 4;
  std::size_t batch = 64;
  double lr = 2e-3;
  double min_lr = 1e-5;
  double warmup = 0.3;  // epochs
  double warmup_lr = 1e-6;
  std::string schedule = "cosine";
  double weight_decay = 0.05;
  double beta2 = 0.98;
  double clip = 1;
  double label_smoothing = 0;
  double mixup = 0;
  double cutmix = 0;
  double flip = 0;
  int crop_padding = 0;
  double erase = 0;
  double ema = 0;
  std::uint64_t log_every = 20;
  std::size_t accumulate = 1;
  attn::train::Every eval_every = {};        // none: after each epoch
  attn::train::Every checkpoint_every = {};  // none: after each evaluation
};

struct DataSettings {
  io::Path directory = attn::data::fashion_mnist_directory;
  attn::data::IdxPaths files;  // each one that is not given is looked for in the directory
  std::size_t train_limit = 0;
  std::size_t test_limit = 0;
  int classes = 0;
};

struct Settings {
  ActivationChoice activation;
  std::uint64_t seed = 0;
  ModelSettings model;
  Recipe recipe;
  DataSettings data;
  bool resume = false;
  bool insist = false;  // begin although the memory may not suffice
};

/// Everything but the flags that all trainers share.
void describe(io::SettingList& list, Settings& settings);

/// The four files that the settings name.
attn::data::IdxPaths complete_paths(DataSettings const& settings);

/// Reads the data that the settings name; see `attn::data::load_idx_split` for what is checked.
attn::data::Split load_data(DataSettings const& settings);

/// Throws where settings contradict one another.
void check(Settings const& settings);

/// The model's sizes for images like these.
Sizes model_sizes(ModelSettings const& settings, attn::data::Dataset const& like);

/// Of a part of a step.
attn::data::BatchOptions batch_options(Recipe const& recipe, std::uint64_t seed);

/// The rate of each step of training.
class LearningRate {
 public:
  LearningRate(Recipe const& recipe, std::uint64_t steps_per_epoch);
  double operator()(attn::Index step) const { return constant_ ? warmup_(step) : cosine_(step); }

 private:
  bool constant_;
  attn::optim::LinearWarmup warmup_;
  attn::optim::Cosine cosine_;
};

/// All that the result of a run depends on, for results.json and for checkpoints.
io::Json results_of(Settings settings, Sizes const& sizes, attn::data::Split const& data);

/// Takes over the model that weights describe themselves with, its activation too; see `io::adopt`. `list` holds the
/// settings and the common ones. The preset of --model counts as given.
void adopt(io::SettingList& list, io::CommonOptions const& common, Settings& settings, io::Json const& description,
           std::string const& source);

/// What training takes, or with `trains` unset evaluation.
io::MemoryPlan memory_of(Settings const& settings, Sizes const& sizes, bool trains);

}  // namespace vision
