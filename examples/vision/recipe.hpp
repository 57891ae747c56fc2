/// Recipe: how a model is trained; and the published recipes by name.
#pragma once

#include "attn/data/batches.hpp"
#include "attn/io/setting_list.hpp"
#include "attn/optim/schedule.hpp"
#include "attn/train/every.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vision {

namespace io = attn::io;

/// These defaults are the demo's: chosen so that a few epochs on two cores are enough.
struct Recipe {
  std::uint64_t epochs = 4;
  std::size_t batch = 64;
  double lr = 2e-3;
  double min_lr = 1e-5;
  double warmup = 0.3;  // epochs
  std::uint64_t warmup_steps = 0;
  double warmup_lr = 1e-6;
  std::string schedule = "cosine";
  std::string schedule_by = "step";
  bool schedule_late = false;
  bool warmup_prefix = false;
  std::size_t lr_batch = 0;
  std::string lr_scaling = "peak";
  double weight_decay = 0.05;
  double beta2 = 0.98;
  double clip = 1;
  double label_smoothing = 0;
  double mixup = 0;
  double cutmix = 0;
  double flip = 0;
  int crop_padding = 0;
  double erase = 0;
  double crop_area = 0;
  std::string auto_augment = "none";
  double color_jitter = 0;
  std::size_t repeats = 1;
  std::optional<double> crop_fraction;
  double ema = 0;
  std::string ema_use = "judge";
  std::uint64_t log_every = 20;
  std::size_t accumulate = 1;
  attn::train::Every eval_every = {};        // none: after each epoch
  attn::train::Every checkpoint_every = {};  // none: after each evaluation
};

void describe(io::SettingList& list, Recipe& recipe);

/// "vit", "deit", "swin", "xcit", "tiny-imagenet".
std::vector<std::string> recipe_names();

/// What a published recipe sets: an object of values by the names of flags. `model`: that of --model, or empty for the
/// one that the recipe was published for; the rate of stochastic depth is that of its size.
io::Json published_recipe(std::string const& name, std::string const& model);

/// A table for people: what it sets, and what that means.
std::string recipe_table(std::string const& name, std::string const& model);

/// Learning rates of a batch of another size than that which they were given for.
struct Rates {
  double peak, minimum, start;
};
Rates rates_of(Recipe const& recipe);

/// The rate of each step of training.
class LearningRate {
 public:
  LearningRate(Recipe const& recipe, std::uint64_t steps_per_epoch);
  double operator()(attn::Index step) const;

 private:
  bool constant_;
  attn::Index unit_;  // steps for which a rate stays
  bool late_;
  attn::optim::LinearWarmup warmup_;
  attn::optim::Cosine cosine_;
};

/// How images to learn from are changed.
attn::data::Augmentation augmentation_of(Recipe const& recipe);

/// Of a step.
attn::data::BatchOptions batch_options(Recipe const& recipe, std::uint64_t seed);

}  // namespace vision
