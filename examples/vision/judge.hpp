/// Judge: how good a classifier's answers are, over all images of a set.
#pragma once

#include "attn/train/distributed/world.hpp"

#include <cstdint>
#include <vector>

#include "vision/classifier.hpp"
#include "vision/image_data.hpp"

namespace vision {

/// How often images of one class were taken for another.
struct Confusion {
  std::size_t classes = 0;
  std::vector<std::uint64_t> counts = {};  // (label, answer); none of more than `most` classes

  static constexpr std::size_t most = 2000;
  std::uint64_t at(std::size_t label, std::size_t answer) const { return counts[label * classes + answer]; }
};

struct Judgement {
  double loss = 0;      // mean cross-entropy
  double accuracy = 0;  // share of images whose class has the largest logit
  double top5 = 0;      // share of those whose class is among the five largest
  Confusion confusion = {};
};

/// What the logits of one image say: the likeliest class, and its probability.
struct Answer {
  std::size_t label = 0;
  double probability = 0;
};

Answer answer_of(float const* logits, std::size_t classes);

/// Of several ranks each judges its batches, and all get to know the judgement of all.
Judgement judge(Context& ctx, Classifier const& model, EvaluationBatches& batches, attn::train::World& world);

}  // namespace vision
