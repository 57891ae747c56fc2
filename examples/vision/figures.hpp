/// Pictures of one run or of several beside each other.
#pragma once

#include "attn/io/report.hpp"

#include <vector>

#include "vision/training.hpp"

namespace vision {

/// Draws loss.png, accuracy.png, optimization.png (learning rate and gradient norm), scales.png (trained numbers of the
/// activation), classes.png (confusion, accuracy by class), frobenius_norms.png, jacobian_norms.png, attention_maps.png
/// and predictions.png into `out`, from the runs' metrics.csv and from what they know. What cannot be drawn is a
/// warning, no error. Returns all of them with captions, for a report.
std::vector<io::ReportFigure> draw_figures(io::Path const& out, std::vector<Outcome> const& runs);

/// A table: for each class its name, the share of right answers to its test images, and how many of them were taken for
/// each class.
void write_classes(io::Path const& path, Outcome const& outcome);

}  // namespace vision
