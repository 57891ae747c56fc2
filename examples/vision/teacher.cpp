#include "vision/teacher.hpp"

#include "attn/io/npy.hpp"

#include <algorithm>
#include <cmath>

namespace vision {
namespace {

/// One row of logits, in place: 1 at the largest, or softmax(z / temperature).
void to_targets(float* z, std::size_t classes, bool hard, double temperature) {
  std::size_t const best = static_cast<std::size_t>(std::max_element(z, z + classes) - z);
  float const top = z[best];
  double sum = 0;
  for (std::size_t c = 0; c < classes; ++c) {
    z[c] = hard ? float(c == best) : static_cast<float>(std::exp((double(z[c]) - double(top)) / temperature));
    sum += double(z[c]);
  }
  for (std::size_t c = 0; c < classes; ++c) z[c] = static_cast<float>(double(z[c]) / sum);
}

}  // namespace

Teacher::Teacher(Tuning const& tuning, std::size_t images, int classes) : classes_(static_cast<std::size_t>(classes)) {
  io::Array const array = io::read_npy(tuning.teacher);
  ATTN_CHECK(array.shape == (io::Shape{images, classes_}), "--teacher: give logits for the ", images,
             " training images and ", classes, " classes, '", tuning.teacher.string(), "' has ",
             io::to_string(array.shape));
  targets_ = array.as<float>();
  for (float const logit : targets_) {
    ATTN_CHECK(std::isfinite(logit), "--teacher: '", tuning.teacher.string(), "' holds ", logit,
               "; give logits that are finite");
  }
  for (std::size_t i = 0; i < images; ++i) {
    to_targets(targets_.data() + i * classes_, classes_, tuning.distillation == "hard", tuning.temperature);
  }
}

Teacher::Buffer Teacher::targets(attn::data::Batch<float> const& batch) {
  std::size_t const size = batch.size();
  if (staged_.extent(0) != size) staged_ = Buffer("teacher targets", size, classes_);
  auto const own = static_cast<float>(batch.mix.ratio), other = static_cast<float>(1 - batch.mix.ratio);
  for (std::size_t b = 0; b < size; ++b) {
    float const* const mine = targets_.data() + batch.indices[b] * classes_;
    float const* const partner = targets_.data() + batch.indices[size - 1 - b] * classes_;
    for (std::size_t c = 0; c < classes_; ++c) staged_(b, c) = own * mine[c] + other * partner[c];
  }
  return staged_;
}

}  // namespace vision
