/// Settings: everything that train_vision can be told, apart from the flags that all trainers share.
#pragma once

#include "attn/io/common_options.hpp"
#include "attn/io/memory.hpp"
#include "attn/train/distributed/world.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include "vision/classifier.hpp"
#include "vision/image_data.hpp"
#include "vision/models.hpp"
#include "vision/recipe.hpp"

namespace vision {

/// How weights that were trained before are trained on, and what a teacher adds.
struct Tuning {
  std::vector<std::string> freeze;  // patterns of names
  double layer_decay = 1;
  io::Path teacher;  // logits (training images, classes)
  std::string distillation = "hard";
  double teacher_share = 0.5;
  double temperature = 1;
};

struct Settings {
  ActivationChoice activation;
  int scale_keys = 0;
  std::uint64_t seed = 0;
  ModelSettings model;
  std::string recipe_name;
  Recipe recipe;
  DataSettings data;
  Tuning tuning;
  attn::train::SharingOptions sharing;
  std::string precision = "fp32";
  bool new_head = false;  // --classes was given: weights of other classes get a head for these
  bool resume = false;
  bool insist = false;  // begin although the memory may not suffice
};

/// Everything but the flags that all trainers share.
void describe(io::SettingList& list, Settings& settings);

/// Throws where settings contradict one another.
void check(Settings const& settings);

/// The sizes of the model for images like these, in the precision that is chosen.
Sizes sizes_of(Settings const& settings, attn::data::ImageShape const& like);

/// All that the result of a run depends on, for results.json.
io::Json results_of(Settings settings, Sizes const& sizes, ImageData const& data);

/// Of these, what a checkpoint holds: without what is as it always was before it could be said.
io::Json checkpoint_settings(io::Json run);

/// The activation that the common flags name, with the factor that --scale-keys gives a fixed scale.
void take_activation(io::CommonOptions const& common, Settings& settings);

/// Takes over the model that weights describe themselves with, its activation too; see `io::adopt`. `list` holds the
/// settings and the common ones. The sizes that --model names count as given. The precision that the weights were
/// trained in is the default, not an order.
void adopt(io::SettingList& list, io::CommonOptions const& common, Settings& settings, io::Json const& description,
           std::string const& source);

/// What training takes, or with `trains` unset evaluation, on one of `ranks`.
io::MemoryPlan memory_of(Settings const& settings, Sizes const& sizes, bool trains, int ranks = 1);

}  // namespace vision
