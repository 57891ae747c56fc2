/// Labelled images in memory, and what training needs to know about them.
#pragma once

#include "attn/core/check.hpp"
#include "attn/data/image.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace attn::data {

/// Mean and standard deviation of each channel, of pixels scaled to [0, 1].
struct Normalization {
  std::vector<float> mean = {};
  std::vector<float> deviation = {};
};

/// Images (count, channels, height, width) of bytes, and a label for each, `0 <= label < classes`.
struct Dataset {
  std::size_t count = 0;
  std::size_t channels = 1;
  std::size_t height = 0;
  std::size_t width = 0;
  int classes = 0;
  std::vector<std::uint8_t> images = {};
  std::vector<std::int32_t> labels = {};
  std::vector<std::string> class_names = {};  // one for each class, or none
  Normalization normalization = {};           // how images are scaled for a model: by the statistics of training data

  std::size_t image_size() const { return channels * height * width; }
  std::uint8_t const* image(std::size_t i) const { return images.data() + i * image_size(); }

  /// The name of a class, its number when it has no name.
  std::string name_of(int label) const {
    bool const named = label >= 0 && static_cast<std::size_t>(label) < class_names.size();
    return named ? class_names[static_cast<std::size_t>(label)] : std::to_string(label);
  }
};

/// Image i of a dataset, its channels together.
inline void copy_image(Dataset const& dataset, std::size_t i, Image& out) {
  std::size_t const step = dataset.channels, pixels = dataset.height * dataset.width;
  out.resize(dataset.height, dataset.width, step);
  std::uint8_t const* in = dataset.image(i);
  for (std::size_t c = 0; c < step; ++c) {
    for (std::size_t p = 0; p < pixels; ++p) out.pixels[step * p + c] = *in++;
  }
}

/// Mean and standard deviation over all pixels of each channel, exact to rounding. O(bytes). A channel that is constant
/// gets deviation 1, so that it can be divided by.
inline Normalization channel_statistics(Dataset const& dataset) {
  Normalization result;
  std::size_t const plane = dataset.height * dataset.width;
  for (std::size_t c = 0; c < dataset.channels; ++c) {
    std::array<std::uint64_t, 256> histogram{};
    for (std::size_t i = 0; i < dataset.count; ++i) {
      std::uint8_t const* const pixels = dataset.image(i) + c * plane;
      for (std::size_t p = 0; p < plane; ++p) ++histogram[pixels[p]];
    }
    double const total = static_cast<double>(dataset.count * plane);
    double mean = 0;
    for (int value = 0; value < 256; ++value)
      mean += value * static_cast<double>(histogram[std::size_t(value)]) / total;
    double variance = 0;
    for (int value = 0; value < 256; ++value) {
      variance += (value - mean) * (value - mean) * static_cast<double>(histogram[std::size_t(value)]) / total;
    }
    bool const varies = total > 0 && variance > 0;
    result.mean.push_back(total > 0 ? static_cast<float>(mean / 255) : 0);
    result.deviation.push_back(varies ? static_cast<float>(std::sqrt(variance) / 255) : 1);
  }
  return result;
}

/// The first `count` images, for a quick look.
inline Dataset take(Dataset dataset, std::size_t count) {
  ATTN_CHECK(count <= dataset.count, "take: ask for at most ", dataset.count, " images, not ", count);
  dataset.count = count;
  dataset.images.resize(count * dataset.image_size());
  dataset.labels.resize(count);
  return dataset;
}

/// Throws unless extents, labels and normalization agree with one another. `name` opens the message.
inline void check(Dataset const& dataset, std::string const& name) {
  ATTN_CHECK(dataset.images.size() == dataset.count * dataset.image_size(), name, ": give ", dataset.count, " x ",
             dataset.channels, " x ", dataset.height, " x ", dataset.width, " pixels, not ", dataset.images.size());
  ATTN_CHECK(dataset.labels.size() == dataset.count, name, ": give ", dataset.count, " labels, not ",
             dataset.labels.size());
  for (std::size_t i = 0; i < dataset.count; ++i) {
    ATTN_CHECK(dataset.labels[i] >= 0 && dataset.labels[i] < dataset.classes, name, ": label ", dataset.labels[i],
               " of image ", i, " is out of range, there are ", dataset.classes, " classes");
  }
  Normalization const& n = dataset.normalization;
  ATTN_CHECK(n.mean.size() == dataset.channels && n.deviation.size() == dataset.channels, name,
             ": give mean and deviation for each of the ", dataset.channels, " channels");
  for (float const deviation : n.deviation) ATTN_CHECK(deviation > 0, name, ": give deviations above 0");
}

}  // namespace attn::data
