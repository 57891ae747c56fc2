/// Settings: everything that train_lra can be told, apart from the flags that all trainers share, and the published
/// recipe of each task.
#pragma once

#include "attn/data/sequences.hpp"
#include "attn/io/common_options.hpp"
#include "attn/io/memory.hpp"
#include "attn/optim/loss_scale.hpp"
#include "attn/train/distributed/world.hpp"
#include "attn/train/every.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lra/model.hpp"

namespace lra {

namespace io = attn::io;

/// Numbers of training. What is not given comes from the recipe of the task.
struct Recipe {
  std::optional<std::uint64_t> steps, warmup, eval_every, eval_batches;
  std::optional<std::size_t> batch;
  double lr = 1e-4;
  double weight_decay = 0;
  double clip = 0;
  std::optional<double> loss_scale;  // with fp16
  std::size_t accumulate = 1;
  std::uint64_t log_every = 10;
  attn::train::Every checkpoint_every = {};  // none: after each evaluation
};

struct DataSettings {
  io::Path directory;
  std::optional<std::size_t> limit;     // tokens of a text or document
  std::optional<std::size_t> examples;  // of generated training data
  std::string difficulty = "14";        // of pathfinder: the dashes of a snake
  bool whole_test = false;
};

struct Settings {
  std::string task;
  ModelSettings model;
  Recipe recipe;
  DataSettings data;
  std::uint64_t seed = 0;
  bool resume = false;
  bool insist = false;  // begin although the memory may not suffice
  attn::train::SharingOptions sharing;
};

/// The recipe that Nyströmformer was published with.
struct PublishedRecipe {
  char const* task;
  std::size_t batch;
  std::uint64_t steps, warmup, eval_every, eval_batches;
  std::size_t train_examples, dev_examples, test_examples;
};
PublishedRecipe const& published_recipe(std::string const& task);
std::vector<std::string> task_names();

/// A recipe without gaps.
struct CompleteRecipe {
  std::uint64_t steps, warmup, eval_every, eval_batches;
  std::size_t batch;
};
CompleteRecipe complete(Settings const& settings);

/// How losses are scaled, which fp16 alone needs.
std::optional<attn::optim::LossScaleOptions> loss_scale_of(Settings const& settings);

/// Throws where settings contradict one another, before any work is done.
void check(Settings const& settings);

/// Everything but the flags that all trainers share.
void describe(io::SettingList& list, Settings& settings);

/// All that the result of a run depends on, for results.json and for checkpoints.
io::Json results_of(Settings settings, attn::data::SequenceSplits const& data);

/// What weights say about themselves.
io::Json description_of(Settings settings);

/// What training on `data` takes, or with `trains` unset evaluation, on one of `ranks`.
io::MemoryPlan memory_of(Settings const& settings, attn::data::Sequences const& data, bool trains, int ranks = 1);

/// Reads or generates the data of the task, and says what was left out.
attn::data::SequenceSplits load_data(Settings const& settings);

TaskSizes sizes_of(attn::data::Sequences const& data);

}  // namespace lra
