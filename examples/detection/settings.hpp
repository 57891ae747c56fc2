/// Settings: everything that train_detection can be told.
#pragma once

#include "attn/io/setting_list.hpp"

#include <cstdint>

namespace train_detection {

namespace io = attn::io;

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

  int threads = 1;  // nothing here has more
};

/// For `io::run_main`, which calls it with what it takes for flags that trainers share.
inline void describe(io::SettingList& list, Settings& s) {
  list.group("Evaluation of results that are given");
  list("annotations", s.annotations, {.help = "Annotations in COCO's format: a file instances_*.json", .file = true});
  list("results", s.results,
       {.help = "Results of any detector in COCO's format: a JSON list of image_id, category_id, score, and bbox, "
                "segmentation or both",
        .file = true});
  list("evaluate", s.evaluate, {.help = "Compute COCO's twelve figures of --results for --annotations"});
  list("out", s.out, {.help = "Directory for results.json; created when missing"});

  list.group("A data set of garments");
  list("generate", s.generate,
       {.help = "Folder to write pictures of garments into, in COCO's layout: train2017, val2017, annotations"});
  list("train-images", s.train_images, {.help = "Pictures to learn from", .range = {0, 1e6}});
  list("val-images", s.val_images, {.help = "Pictures to judge by", .range = {0, 1e6}});
  list("least-side", s.least_side, {.help = "Pixels that sides of pictures have at least", .range = {32, 4096}});
  list("most-side", s.most_side, {.help = "Pixels that sides of pictures have at most", .range = {32, 4096}});
  list("most-objects", s.most_objects, {.help = "Garments of a picture at most, besides a heap", .range = {1, 1000}});
  list("source", s.source, {.help = "Folder with IDX files of single garments (default: Fashion-MNIST)"});
  list("seed", s.seed, {.help = "Seed of all random numbers; the same seed gives the same pictures"});
}

}  // namespace train_detection
