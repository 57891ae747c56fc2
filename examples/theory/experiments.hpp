/// The experiments of `theory` and what each can be told.
#pragma once

#include "attn/io/common_options.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace theory {

/// Powers of two from `low` to `high`.
struct Doubling {
  int low = 8;
  int high = 4096;

  /// Throws where there is none; `what` opens the sentence.
  std::vector<int> values(char const* what) const;
};

struct BoundsOptions {
  Doubling tokens = {8, 4096};
  int trials = 5;
};

struct GrowthOptions {
  Doubling tokens = {16, 512};
  int trials = 20;
  int width = 64;       // D, of the random X
  int head_width = 64;  // d
  double sigma_x = 1;
  double sigma_t = 0;  // 0: 1/sqrt(D), so that scores have a variance of one
};

/// A small network, and its training on canvases of garments: see `attn/data/garments.hpp`.
struct TrainingOptions {
  std::string preset = "quick";  // or full; what follows overrides it where it is not zero
  int width = 0;
  int depth = 0;
  int heads = 0;
  int epochs = 0;
  int train_limit = 0;
  int test_limit = 0;
  int batch = 0;
  double lr = 0;
  int seeds = 0;        // of softmax, x³ and the network without attention
  int other_seeds = 1;  // of the other activations
  attn::io::Path data;  // a folder of IDX files of at most 32 x 32 pixels; empty: garments
  bool insist = false;  // begin although the memory may not suffice
};

struct SweepOptions {
  TrainingOptions training;
  std::vector<int> tokens = {8, 16, 64, 256};
  double k_low = 1e-3;
  double k_high = 1e3;
  int k_per_decade = 2;
};

struct NormsOptions {
  TrainingOptions training;
  int tokens = 64;
};

struct ArchitecturesOptions {
  TrainingOptions training;
  std::vector<std::string> models = {};  // of vit, deit, swin, xcit; none: all that the program has
  std::vector<int> powers = {1, 2, 3, 4, 5};
};

struct DataOptions {
  int train = 20000;
  int test = 2000;
  int rows = 2, columns = 2, cell = 16, garment = 14;
  std::string relation = "ground";
  std::vector<int> kinds = {};  // none: those of `attn::data::GarmentOptions`
  attn::io::Path source;        // a folder of IDX files; empty: Fashion-MNIST
};

struct HeatmapsOptions {
  std::vector<attn::io::Path> beside = {};  // weights to compare with those of --weights
  std::vector<int> layers = {};             // 1, 2, ...; none: the second and the last
  std::vector<int> heads = {1};             // 1, 2, ...
  int samples = 128;
  attn::io::Path data;
};

struct RecommendOptions {
  int depth = 12;
  int tokens = 256;
  int head_width = 64;
  int heads = 3;
  int highest_power = 8;
  int samples = 4;
  bool train = true;  // also find the highest power that trains
  TrainingOptions training;
};

void run_bounds(attn::io::CommonOptions const& common, BoundsOptions const& options);
void run_growth(attn::io::CommonOptions const& common, GrowthOptions const& options);
void run_sweep(attn::io::CommonOptions const& common, SweepOptions const& options);
void run_norms(attn::io::CommonOptions const& common, NormsOptions const& options);
void run_architectures(attn::io::CommonOptions const& common, ArchitecturesOptions const& options);
void run_data(attn::io::CommonOptions const& common, DataOptions const& options);
void run_heatmaps(attn::io::CommonOptions const& common, HeatmapsOptions const& options);
void run_recommend(attn::io::CommonOptions const& common, RecommendOptions const& options);

}  // namespace theory
