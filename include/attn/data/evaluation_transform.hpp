/// EvaluationTransform: the centre of an image, resized, as the numbers that a model sees.
#pragma once

#include "attn/core/random.hpp"
#include "attn/data/fitted_image.hpp"
#include "attn/data/normalizer.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace attn::data {

/// What timm does: the shorter side is resized to floor(side / crop_fraction), and a box of the model's size is taken
/// from the centre. It has no random part. Above a fraction of 1 there are black borders.
///
/// Where height and width differ, the image is resized until it covers (height, width) / crop_fraction, each rounded
/// down.
template <class T>
class EvaluationTransform {
 public:
  EvaluationTransform(std::size_t height, std::size_t width, Normalization const& normalization,
                      double crop_fraction = 0.875, Filter how = Filter::bicubic)
      : height_(height), width_(width), crop_fraction_(crop_fraction), how_(how), normalize_(normalization) {
    ATTN_CHECK(height > 0 && width > 0, "EvaluationTransform: give a height and width of at least 1, not ", height,
               " and ", width);
    double const side = static_cast<double>(std::min(height, width));
    ATTN_CHECK(crop_fraction >= 1e-3 && crop_fraction <= side,
               "EvaluationTransform: give a crop_fraction from 0.001 to ", side, ", so that pixels remain, not ",
               crop_fraction);
  }

  std::size_t height() const { return height_; }
  std::size_t width() const { return width_; }

  /// What of an image of (height, width) is seen.
  ImageBox box(std::size_t height, std::size_t width, RandomKey = {}) const {
    auto const [rows, columns] = resized(double(height), double(width));
    auto const [top, tall] = along(double(height), rows, height_);
    auto const [left, wide] = along(double(width), columns, width_);
    return {.top = top, .left = left, .height = tall, .width = wide};
  }

  /// box of image -> out (channels, height, width).
  void operator()(Image const& image, ImageBox const& box, RandomKey, T* out) const {
    Image& picture = image_memory().picture;
    ImageScratch& scratch = image_memory().scratch;
    std::size_t rows = height_, columns = width_;
    if (crop_fraction_ > 1) {
      auto const [all_rows, all_columns] = resized(box.height, box.width);
      rows = std::min(rows, static_cast<std::size_t>(all_rows));
      columns = std::min(columns, static_cast<std::size_t>(all_columns));
    }
    fit(image, box, rows, columns, normalize_.channels(), how_, picture);
    if (rows < height_ || columns < width_) {
      auto const down = static_cast<std::ptrdiff_t>((height_ - rows) / 2);
      auto const right = static_cast<std::ptrdiff_t>((width_ - columns) / 2);
      shift(picture, -down, -right, height_, width_, scratch);
    }
    normalize_(picture, out);
  }

 private:
  struct Range {
    double start, length;
  };

  /// Height and width of a whole image after it was resized.
  std::pair<double, double> resized(double height, double width) const {
    double const rows = std::floor(double(height_) / crop_fraction_),
                 columns = std::floor(double(width_) / crop_fraction_);
    if (rows == columns) {  // the longer side is rounded down
      auto const longer = [&](double by, double shorter) { return std::floor(rows * by / shorter + 1e-9); };
      return height <= width ? std::pair(rows, longer(width, height)) : std::pair(longer(height, width), columns);
    }
    double const scale = std::min(height / rows, width / columns);
    return {std::nearbyint(height / scale), std::nearbyint(width / scale)};
  }

  /// The part of a side of `length` that is seen, of which `pixels` remain and `wanted` are taken from the middle.
  static Range along(double length, double pixels, std::size_t wanted) {
    if (pixels <= double(wanted)) return {0, length};
    double const scale = length / pixels;
    return {std::nearbyint((pixels - double(wanted)) / 2) * scale, double(wanted) * scale};
  }

  std::size_t height_, width_;
  double crop_fraction_;
  Filter how_;
  Normalizer<T> normalize_;
};

}  // namespace attn::data
