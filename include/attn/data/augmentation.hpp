/// Augmentation: the random changes of a training image, as timm and its recipes describe them.
#pragma once

#include "attn/data/image_affine.hpp"
#include "attn/data/random_crop.hpp"
#include "attn/data/random_erasing.hpp"

#include <optional>
#include <string>

namespace attn::data {

/// By default none. In brackets, what timm calls it.
struct Augmentation {
  bool resized_crop = false;  // a box of random size and shape, resized
  RandomCrop crop = {};       // which [scale, ratio]
  int crop_padding = 0;       // else: a crop of the whole size out of the image with so many black pixels all around

  double flip_probability = 0;  // mirrored left to right [hflip]

  std::string auto_augment =
      "none";               // "rand-m9-mstd0.5-inc1" and the like (rand_augment.hpp), or "3a": three_augment [aa]
  double color_jitter = 0;  // its strength; not with RandAugment, whatever is given here, as in timm
  std::optional<Filter> interpolation = Filter::bicubic;  // none: one of both at random ["random"]

  double erase_probability = 0;  // a rectangle of noise, after normalization [reprob, with remode "pixel"]
  Erasing erasing = {};

  void check() const {
    auto const probability = [](double p) { return p >= 0 && p <= 1; };
    ATTN_CHECK(crop_padding >= 0 && crop_padding <= 100000, "Augmentation: give a crop_padding of at least 0, not ",
               crop_padding);
    ATTN_CHECK(crop_padding == 0 || !resized_crop, "Augmentation: give a resized_crop or a crop_padding, not both");
    ATTN_CHECK(probability(flip_probability) && probability(erase_probability),
               "Augmentation: give probabilities from 0 to 1, not ", flip_probability, " and ", erase_probability);
    ATTN_CHECK(color_jitter >= 0 && color_jitter <= 1e6, "Augmentation: give a color_jitter of at least 0, not ",
               color_jitter);
    crop.check();
    erasing.check();
  }
};

}  // namespace attn::data
