/// Teacher: what another model said of the training images, as a file of its logits has it.
#pragma once

#include "attn/data/batches.hpp"

#include <vector>

#include "vision/settings.hpp"

namespace vision {

class Teacher {
 public:
  using Buffer = Kokkos::View<float**, Kokkos::LayoutRight, attn::data::StagingSpace>;  // (B, classes)

  /// `tuning.teacher` holds logits (images, classes), a row for each training image in the order of the data.
  Teacher(Tuning const& tuning, std::size_t images, int classes);

  /// The teacher's targets for a batch: its answers, or its softened probabilities, mixed as the images are.
  Buffer targets(attn::data::Batch<float> const& batch);

 private:
  std::vector<float> targets_;  // of each image
  std::size_t classes_;
  Buffer staged_;
};

}  // namespace vision
