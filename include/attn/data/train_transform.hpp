/// TrainTransform: a training image, changed at random, as the numbers that a model sees.
#pragma once

#include "attn/core/random.hpp"
#include "attn/data/augmentation.hpp"
#include "attn/data/color_jitter.hpp"
#include "attn/data/fitted_image.hpp"
#include "attn/data/normalizer.hpp"
#include "attn/data/rand_augment.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace attn::data {

/// In this order: cropped and resized, mirrored, changed in color and shape, normalized, partly erased. All as the key
/// says, from which each part has keys of its own.
template <class T>
class TrainTransform {
 public:
  TrainTransform(std::size_t height, std::size_t width, Normalization const& normalization,
                 Augmentation const& augmentation = {})
      : height_(height),
        width_(width),
        augmentation_(checked(augmentation)),
        rand_augment_(augmentation.auto_augment.starts_with("rand")
                          ? std::optional(RandAugment::parse(augmentation.auto_augment))
                          : std::nullopt),
        normalize_(normalization) {
    ATTN_CHECK(height > 0 && width > 0, "TrainTransform: give a height and width of at least 1, not ", height, " and ",
               width);
    bool const colors = augmentation.auto_augment != "none" || augmentation.color_jitter > 0;
    std::size_t const channels = normalize_.channels();
    ATTN_CHECK(!colors || channels == 1 || channels == 3,
               "TrainTransform: auto_augment and color_jitter are for images of 1 or 3 channels, not ", channels);
    for (std::size_t c = 0; c < 3 && channels > 0; ++c) {
      double const mean = double(normalization.mean[std::min(c, channels - 1)]);
      fill_[c] = static_cast<std::uint8_t>(std::clamp(std::nearbyint(255 * mean), 0.0, 255.0));
    }
  }

  std::size_t height() const { return height_; }
  std::size_t width() const { return width_; }

  /// What of an image of (height, width) is used.
  ImageBox box(std::size_t height, std::size_t width, RandomKey key) const {
    if (augmentation_.resized_crop) return random_crop(height, width, augmentation_.crop, subkey(key, "crop"));
    return centre_box(height, width, height_, width_);
  }

  /// box of image -> out (channels, height, width).
  void operator()(Image const& image, ImageBox const& box, RandomKey key, T* out) const {
    Augmentation const& a = augmentation_;
    Draws draws(key);
    std::int64_t const padding = a.crop_padding;
    std::int64_t const down = draws.integer(2 * padding + 1) - padding;
    std::int64_t const right = draws.integer(2 * padding + 1) - padding;
    bool const mirrored = draws.bernoulli(a.flip_probability);
    bool const erased = draws.bernoulli(a.erase_probability);

    Image& picture = image_memory().picture;
    ImageScratch& scratch = image_memory().scratch;
    Draws interpolations(subkey(key, "interpolation"));
    auto const interpolation = [&] {
      if (a.interpolation) return *a.interpolation;
      return interpolations.bernoulli(0.5) ? Filter::bicubic : Filter::bilinear;
    };
    if (a.resized_crop) {  // cropped first, as published
      ImageBox const rest = cut_out(image, box, scratch.image);
      fit(scratch.image, rest, height_, width_, normalize_.channels(), interpolation(), picture);
    } else {
      fit(image, box, height_, width_, normalize_.channels(), interpolation(), picture);
    }
    if (down != 0 || right != 0) shift(picture, down, right, height_, width_, scratch);
    if (mirrored) mirror(picture);
    if (rand_augment_) {
      Draws operations(subkey(key, "auto_augment"));
      for (int layer = 0; layer < rand_augment_->layers; ++layer) {
        auto const drawn = rand_augment_->draw(operations);
        if (drawn) apply(*drawn, rand_augment_->increasing, picture, fill_, interpolation(), scratch);
      }
    } else {
      if (a.auto_augment == "3a") three_augment(picture, subkey(key, "auto_augment"), scratch);
      if (a.color_jitter > 0) color_jitter(picture, a.color_jitter, subkey(key, "color_jitter"), scratch);
    }
    normalize_(picture, out);
    if (erased) erase(a.erasing, subkey(key, "erase"), normalize_.channels(), height_, width_, out);
  }

 private:
  static Augmentation const& checked(Augmentation const& augmentation) {
    augmentation.check();
    std::string const& text = augmentation.auto_augment;
    ATTN_CHECK(text == "none" || text == "3a" || text.starts_with("rand"),
               "TrainTransform: give an auto_augment like rand-m9-mstd0.5-inc1, or 3a, or none, not \"", text, "\"");
    return augmentation;
  }

  std::size_t height_, width_;
  Augmentation augmentation_;
  std::optional<RandAugment> rand_augment_;
  Normalizer<T> normalize_;
  Fill fill_ = {};  // of pixels that come from outside: the mean
};

}  // namespace attn::data
