/// Small datasets in memory and on disk, for tests.
#pragma once

#include "attn/data/dataset.hpp"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace attn::testing {

/// Image i has pixels that differ from image to image and from place to place; its label is i % classes.
inline data::Dataset numbered_images(std::size_t count, std::size_t channels, std::size_t height, std::size_t width,
                                     int classes) {
  data::Dataset dataset{.count = count, .channels = channels, .height = height, .width = width, .classes = classes};
  for (std::size_t i = 0; i < count * dataset.image_size(); ++i) {
    dataset.images.push_back(static_cast<std::uint8_t>((i * 2654435761u) >> 7));
  }
  for (std::size_t i = 0; i < count; ++i) dataset.labels.push_back(static_cast<std::int32_t>(i) % classes);
  dataset.normalization = data::channel_statistics(dataset);
  return dataset;
}

/// The bytes of an IDX file.
inline std::string idx(std::initializer_list<std::uint32_t> extents, std::string const& bytes, int type = 8) {
  std::string text{'\0', '\0', static_cast<char>(type), static_cast<char>(extents.size())};
  for (std::uint32_t const extent : extents) {
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(extent >> shift & 255);
  }
  return text + bytes;
}

}  // namespace attn::testing
