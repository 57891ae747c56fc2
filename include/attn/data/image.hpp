/// Image: the bytes of one picture, before it becomes the numbers that a model sees.
#pragma once

#include "attn/core/check.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace attn::data {

/// (height, width, channels), row by row, as files of pictures and libraries that decode them have it; 1 channel is
/// grey, 3 are red, green and blue.
struct Image {
  std::size_t height = 0;
  std::size_t width = 0;
  std::size_t channels = 3;
  std::vector<std::uint8_t> pixels = {};

  Image() = default;

  /// All of one value.
  Image(std::size_t rows, std::size_t columns, std::size_t channel_count, std::uint8_t value = 0)
      : height(rows), width(columns), channels(channel_count), pixels(rows * columns * channel_count, value) {}

  /// Of these sizes, its bytes undefined. Memory that is there is used again.
  void resize(std::size_t rows, std::size_t columns, std::size_t channel_count) {
    height = rows;
    width = columns;
    channels = channel_count;
    pixels.resize(rows * columns * channel_count);
  }

  /// The first channel of a pixel.
  std::uint8_t* at(std::size_t y, std::size_t x) { return pixels.data() + (y * width + x) * channels; }
  std::uint8_t const* at(std::size_t y, std::size_t x) const { return pixels.data() + (y * width + x) * channels; }

  bool operator==(Image const&) const = default;
};

/// A part of an image, in pixels; edges may lie between them. The top left corner of the first pixel is (0, 0).
struct ImageBox {
  double top = 0;
  double left = 0;
  double height = 0;
  double width = 0;

  bool operator==(ImageBox const&) const = default;
};

/// All of an image.
inline ImageBox whole(Image const& image) {
  return {.height = static_cast<double>(image.height), .width = static_cast<double>(image.width)};
}

/// Throws unless sizes and bytes agree. `name` opens the message.
inline void check(Image const& image, char const* name) {
  ATTN_CHECK(image.channels == 1 || image.channels == 3, name, ": give an image of 1 or 3 channels, not ",
             image.channels);
  ATTN_CHECK(image.height > 0 && image.width > 0, name, ": give an image of at least one pixel, not ", image.height,
             " x ", image.width);
  ATTN_CHECK(image.pixels.size() == image.height * image.width * image.channels, name, ": give ", image.height, " x ",
             image.width, " x ", image.channels, " bytes, not ", image.pixels.size());
}

}  // namespace attn::data
