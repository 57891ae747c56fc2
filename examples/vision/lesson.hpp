/// Lesson: what a batch teaches a classifier: its labels, and what a teacher says of the same images.
#pragma once

#include "attn/nn/loss.hpp"

#include <vector>

namespace vision {

using Context = attn::nn::Context<Kokkos::DefaultExecutionSpace>;
using Images = attn::nn::ConstTensorOf<Context, 4>;   // (B, channels, height, width)
using Targets = attn::nn::ConstTensorOf<Context, 2>;  // (B, classes), rows sum to 1
using Logits = attn::nn::TensorOf<Context, 2>;        // (B, classes)

struct Lesson {
  Targets targets;             // from labels
  Targets teacher = {};        // from a teacher; none without one
  double teacher_share = 0.5;  // of the loss
  double temperature = 1;      // by which logits are divided before they are compared with the teacher's

  bool has_teacher() const { return teacher.data() != nullptr; }
};

struct Learned {
  attn::nn::LossValue<Context> loss;
  std::vector<Logits> d_logits;  // of each head
};

/// logits (B, classes) of one head or of two -> the mean loss and its gradients. With t = temperature:
///
///     (1 - share) CE(z, targets) + share t^2 CE(z' / t, teacher)
///
/// Of two heads, z is the first, which learns from labels, and z' the second, which learns from the teacher; of one
/// head both are it. Without a teacher there is one head: of a model with two, their mean, as timm trains them.
Learned learn(Context& ctx, std::vector<Logits> const& heads, Lesson const& lesson);

}  // namespace vision
