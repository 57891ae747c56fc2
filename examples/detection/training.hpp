/// Runs of a detector: training, judging weights, and looking at pictures.
#pragma once

#include "detection/settings.hpp"

namespace train_detection {

/// Trains on --data, judges on its val2017, and leaves results.json, metrics.csv, weights and figures. Returns the exit
/// code: not 0 where it was interrupted.
int train(Settings& settings, io::SettingList& list);

/// Judges --weights on val2017 of --data: results.json with COCO's twelve figures of boxes and of masks, and
/// detections.json.
void judge(Settings& settings, io::SettingList& list);

/// What --weights find in the pictures of the folder --predict: predictions.json in COCO's format, and the pictures
/// with boxes, masks, names and scores.
void predict(Settings& settings, io::SettingList& list);

}  // namespace train_detection
