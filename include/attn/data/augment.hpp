/// From the bytes of an image to the numbers that a model sees: shifted, mirrored, normalized, partly erased.
#pragma once

#include "attn/data/dataset.hpp"
#include "attn/data/distributions.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace attn::data {

/// Random changes of a training image; by default none.
struct Augmentation {
  int crop_padding = 0;          // a crop of the original size out of the image with so many black pixels all around
  double flip_probability = 0;   // mirrored left to right
  double erase_probability = 0;  // a rectangle of noise (Zhong et al. 2017, as timm's mode "pixel")
  double erase_min_area = 0.02;  // of the rectangle, as a fraction of the image
  double erase_max_area = 1.0 / 3.0;
  double erase_min_aspect = 0.3;  // height over width; the largest is its inverse

  void check() const {
    auto const probability = [](double p) { return p >= 0 && p <= 1; };
    ATTN_CHECK(crop_padding >= 0, "Augmentation: give a crop_padding of at least 0, not ", crop_padding);
    ATTN_CHECK(probability(flip_probability) && probability(erase_probability),
               "Augmentation: give probabilities from 0 to 1, not ", flip_probability, " and ", erase_probability);
    ATTN_CHECK(erase_min_area > 0 && erase_min_area <= erase_max_area && erase_max_area <= 1 && erase_min_aspect > 0 &&
                   erase_min_aspect <= 1,
               "Augmentation: give 0 < erase_min_area <= erase_max_area <= 1 and 0 < erase_min_aspect <= 1");
  }
};

/// Turns bytes into normalized numbers by a table: byte v of channel c becomes (v / 255 - mean_c) / deviation_c.
template <class T>
class Normalizer {
 public:
  explicit Normalizer(Normalization const& normalization) {
    for (std::size_t c = 0; c < normalization.mean.size(); ++c) {
      std::array<T, 256>& table = tables_.emplace_back();
      for (std::size_t v = 0; v < 256; ++v) {
        double const pixel = static_cast<double>(v) / 255;
        table[v] = static_cast<T>((pixel - double(normalization.mean[c])) / double(normalization.deviation[c]));
      }
    }
  }
  T operator()(std::size_t channel, std::uint8_t value) const { return tables_[channel][value]; }

 private:
  std::vector<std::array<T, 256>> tables_;
};

/// image i -> out (channels, height, width), normalized and unchanged otherwise.
template <class T>
void normalize_image(Dataset const& data, std::size_t i, Normalizer<T> const& normalizer, T* out) {
  std::uint8_t const* in = data.image(i);
  for (std::size_t c = 0; c < data.channels; ++c) {
    for (std::size_t p = 0; p < data.height * data.width; ++p) *out++ = normalizer(c, *in++);
  }
}

namespace detail {

/// Fills a rectangle with standard normal noise; gives up after ten that do not fit, as timm does.
template <class T>
void erase(Dataset const& data, Augmentation const& options, RandomKey key, T* image) {
  Draws draws(key);
  double const limit = std::log(1 / options.erase_min_aspect);
  for (int attempt = 0; attempt < 10; ++attempt) {
    double const fraction = draws.uniform(options.erase_min_area, options.erase_max_area);
    double const area = fraction * static_cast<double>(data.height * data.width);
    double const aspect = std::exp(draws.uniform(-limit, limit));
    auto const height = static_cast<std::size_t>(std::lround(std::sqrt(area * aspect)));
    auto const width = static_cast<std::size_t>(std::lround(std::sqrt(area / aspect)));
    if (height >= data.height || width >= data.width) continue;
    auto const top = static_cast<std::size_t>(draws.integer(static_cast<std::int64_t>(data.height - height + 1)));
    auto const left = static_cast<std::size_t>(draws.integer(static_cast<std::int64_t>(data.width - width + 1)));
    for (std::size_t c = 0; c < data.channels; ++c) {
      for (std::size_t y = top; y < top + height; ++y) {
        T* const row = image + (c * data.height + y) * data.width;
        for (std::size_t x = left; x < left + width; ++x) row[x] = static_cast<T>(draws.normal());
      }
    }
    return;
  }
}

}  // namespace detail

/// image i -> out (channels, height, width): cropped out of its padding, perhaps mirrored, normalized, perhaps with a
/// rectangle erased, all as `key` says.
template <class T>
void augment_image(Dataset const& data, std::size_t i, Normalizer<T> const& normalizer, Augmentation const& options,
                   RandomKey key, T* out) {
  Draws draws(key);
  std::int64_t const padding = options.crop_padding;
  std::int64_t const down = draws.integer(2 * padding + 1) - padding;
  std::int64_t const right = draws.integer(2 * padding + 1) - padding;
  bool const mirrored = draws.bernoulli(options.flip_probability);
  bool const erased = draws.bernoulli(options.erase_probability);

  auto const height = static_cast<std::int64_t>(data.height);
  auto const width = static_cast<std::int64_t>(data.width);
  T* next = out;
  for (std::size_t c = 0; c < data.channels; ++c) {
    T const black = normalizer(c, 0);
    std::uint8_t const* const plane = data.image(i) + c * data.height * data.width;
    for (std::int64_t y = 0; y < height; ++y) {
      std::int64_t const from_y = y + down;
      bool const row_inside = from_y >= 0 && from_y < height;
      for (std::int64_t x = 0; x < width; ++x) {
        std::int64_t const from_x = (mirrored ? width - 1 - x : x) + right;
        bool const inside = row_inside && from_x >= 0 && from_x < width;
        *next++ = inside ? normalizer(c, plane[from_y * width + from_x]) : black;
      }
    }
  }
  if (erased) detail::erase(data, options, subkey(key, "erase"), out);
}

}  // namespace attn::data
