/// What can every trainer be told?
#pragma once

#include "attn/io/setting_list.hpp"
#include "attn/io/threads.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace attn::io {

/// The flags that all trainers share.
struct CommonOptions {
  std::string activation = "softmax";
  int power = 3;
  std::string scale = "none";
  std::uint64_t seed = 0;
  Path out;
  Path weights;
  bool evaluate = false;
  int threads = 0;  // 0: as many as Kokkos takes by itself
  bool insist = false;

  /// What --activation accepts; a program with an activation of its own appends its name before `run_main`.
  std::vector<std::string> activations = {"softmax", "poly", "relu", "sigmoid"};
};

/// Describes the settings that all trainers have.
inline void describe(SettingList& settings, CommonOptions& o) {
  settings("activation", o.activation,
           {.help = "Activation of the attention scores", .words = o.activations, .model = true});
  settings("power", o.power, {.help = "Power P of the activation poly, c s^P", .range = {1, 6}, .model = true});
  settings("scale", o.scale,
           {.help = "Factor c of poly: none (1), fixed (1/sqrt(number of keys)), dynamic (trained, starts as fixed)",
            .words = {"none", "fixed", "dynamic"},
            .model = true});
  settings("seed", o.seed, {.help = "Seed of all random numbers; the same seed gives the same bits"});
  settings("out", o.out,
           {.help = "Directory for results, metrics, weights and plots; created when missing", .decides = false});
  settings("weights", o.weights,
           {.help = "Weights to start from, a .safetensors file", .file = true, .decides = false});
  settings(
      "evaluate", o.evaluate,
      {.help = "Evaluate the weights given with --weights, without training", .needs = "weights", .decides = false});
  settings("threads", o.threads,
           {.help = "Threads of the host; 0 takes all", .range = {0, double(most_threads)}, .decides = false});
  settings("insist", o.insist,
           {.help = "Begin also where the sizes ask for more memory than this machine has", .decides = false});
}

/// Takes over the model that weights describe themselves with; see `SettingList::adopt`.
inline void adopt(SettingList& settings, Json description, std::string const& source) {
  bool const is_poly =
      description.is_object() && description.contains("activation") && description["activation"] == "poly";
  if (description.is_object() && !is_poly) description.erase("power"), description.erase("scale");  // say nothing there
  settings.adopt(description, source);
}

}  // namespace attn::io
