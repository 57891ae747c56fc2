/// Settings: everything that train_detection can be told.
#pragma once

#include "attn/io/setting_list.hpp"

namespace train_detection {

namespace io = attn::io;

struct Settings {
  io::Path annotations;
  io::Path results;
  bool evaluate = false;
  io::Path out = "train_detection_run";
  int threads = 1;  // the evaluation has one
};

/// For `io::run_main`: all there are are shared flags so far.
inline void describe(io::SettingList& list, Settings& s) {
  list("annotations", s.annotations,
       {.help = "Annotations in COCO's format: a file instances_*.json", .file = true, .required = true});
  list("results", s.results,
       {.help = "Results of any detector in COCO's format: a JSON list of image_id, category_id, score, and bbox, "
                "segmentation or both",
        .file = true,
        .required = true});
  list("evaluate", s.evaluate,
       {.help = "Compute COCO's twelve figures of the results in --results", .required = true, .decides = false});
  list("out", s.out, {.help = "Directory for results.json; created when missing", .decides = false});
}

}  // namespace train_detection
