/// Evaluates results that are given as a file.
#pragma once

#include "detection/settings.hpp"

namespace train_detection {

/// Prints the figures of --results for --annotations, and leaves them in results.json.
void evaluate(Settings const& settings);

}  // namespace train_detection
