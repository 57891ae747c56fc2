/// Settings: everything that train_detection can be told.
#pragma once

#include "attn/io/setting_list.hpp"
#include "attn/io/threads.hpp"
#include "attn/train/every.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace train_detection {

namespace io = attn::io;

/// Sizes of the detector. What is not given is that of the named model.
struct ModelSettings {
  std::string name = "small_12_p16";
  std::string activation = "softmax";
  int power = 3;
  std::string scale = "none";
  int scale_keys = 0;
  bool scale_per_head = false;
  std::optional<int> width, depth, heads, patch, pyramid, hidden, mask_depth;
  std::optional<double> anchor_scale, finest;
  double drop_path = 0.05;
  std::string precision = "fp32";  // of numbers between layers
  int classes = 0;                 // of the data, or of the weights

  bool is_poly() const { return activation == "poly"; }
};

/// How it is trained: as published on COCO, unless told otherwise.
struct Recipe {
  std::uint64_t epochs = 36;
  std::size_t batch = 16, accumulate = 8;
  double lr = 1e-4, weight_decay = 0.05, clip = 0;
  std::uint64_t warmup = 500;
  std::vector<std::uint64_t> decay_epochs = {27, 33};
  std::uint64_t log_every = 20;
  attn::train::Every eval_every = {}, checkpoint_every = {};
  int regions = 512, anchors = 256, proposals = 1000;
};

/// Which pictures, and how large.
struct DataSettings {
  io::Path folder;
  std::vector<int> sides = {480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800};
  int most_side = 1333;
  std::vector<int> crop_sides = {400, 500, 600};
  int least_crop = 384, most_crop = 600;
  double crops = 0.5;
  int test_side = 800, test_most_side = 1333;
  std::size_t limit = 0, val_limit = 0;
  std::size_t workers = 1;
};

struct Settings {
  // results that are given
  io::Path annotations;
  io::Path results;
  bool evaluate = false;
  io::Path out = "train_detection_run";
  // a data set that is drawn
  io::Path generate;
  int train_images = 2000, val_images = 300;
  int least_side = 96, most_side = 160;
  int most_objects = 6;
  io::Path source;
  std::uint64_t seed = 0;
  // a detector
  ModelSettings model;
  Recipe recipe;
  DataSettings data;
  io::Path weights, backbone_weights, predict;
  double score = 0.3;
  bool resume = false;
  int threads = 0;  // 0: as many as Kokkos takes by itself
};

/// For `io::run_main`, which calls it with what it takes for flags that trainers share.
void describe(io::SettingList& list, Settings& settings);

}  // namespace train_detection
