/// ImageScratch: memory in which operations on images work, kept from one image to the next.
#pragma once

#include "attn/data/image.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace attn::data {

/// What is in it before and after a call means nothing. One for each thread.
struct ImageScratch {
  Image image = {};
  std::vector<std::uint8_t> bytes = {};
  std::vector<float> numbers = {};
  std::vector<std::uint32_t> sums = {};

  /// Room for an image of these sizes, its bytes undefined.
  Image& like(Image const& other) { return of(other.height, other.width, other.channels); }
  Image& of(std::size_t height, std::size_t width, std::size_t channels) {
    image.resize(height, width, channels);
    return image;
  }
};

}  // namespace attn::data
