/// Prediction: what a model says of images that have no labels.
#pragma once

#include "attn/io/file.hpp"

#include "vision/settings.hpp"

namespace vision {

/// `images`: a .npy file (B, channels, height, width) of float32, normalised already -> logits.npy (B, classes) in
/// `out`. Or a folder of pictures, with or without folders in it -> logits.npy, and predictions.csv with file, class
/// and probability. Distilled models leave logits_class.npy and logits_teacher.npy, too, whose mean the logits are.
void predict(Settings const& settings, io::Path const& images, io::Path const& weights, io::Json const& description,
             io::Path const& out);

}  // namespace vision
