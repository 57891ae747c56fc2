/// Writes a data set of garments in COCO's layout.
#pragma once

#include "detection/settings.hpp"

namespace train_detection {

/// Fills the folder --generate, which does not exist yet or holds no such data set.
void generate(Settings const& settings);

}  // namespace train_detection
