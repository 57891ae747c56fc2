/// A part of an image brought to the size and channels that a model wants, and to another place.
#pragma once

#include "attn/data/image_affine.hpp"
#include "attn/data/image_enhance.hpp"
#include "attn/data/image_scratch.hpp"
#include "attn/data/resample.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace attn::data {

/// Images that a thread works on, kept from one to the next.
struct ImageMemory {
  Image original = {};
  Image picture = {};
  ImageScratch scratch = {};
};

/// The memory of this thread.
inline ImageMemory& image_memory() {
  thread_local ImageMemory memory;
  return memory;
}

/// box of image -> out (height, width, channels). Grey becomes red, green and blue; colors become luminance.
inline void fit(Image const& image, ImageBox const& box, std::size_t height, std::size_t width, std::size_t channels,
                Filter how, Image& out) {
  if (box == whole(image) && image.height == height && image.width == width) {
    out = image;  // of any number of channels
  } else {
    resample(image, box, height, width, how, out);
  }
  if (out.channels == channels) return;
  ATTN_CHECK(channels == 1 || channels == 3, "fit: ask for 1 or 3 channels, not ", channels);
  Image other(height, width, channels);
  std::size_t const pixels = height * width;
  for (std::size_t p = 0; p < pixels; ++p) {
    std::uint8_t const* const from = &out.pixels[p * out.channels];
    if (channels == 3) {
      std::fill_n(&other.pixels[3 * p], 3, from[0]);
    } else {
      other.pixels[p] = detail::luminance(from[0], from[1], from[2]);
    }
  }
  std::swap(out, other);
}

/// A box of whole pixels as an image of its own: what stands around it has no part in anything that follows. Other
/// boxes (of images that were decoded smaller) are rounded outwards.
inline ImageBox cut_out(Image const& image, ImageBox const& box, Image& out) {
  auto const top = static_cast<std::size_t>(std::floor(box.top)), left = static_cast<std::size_t>(std::floor(box.left));
  auto const bottom = std::min(image.height, static_cast<std::size_t>(std::ceil(box.top + box.height)));
  auto const right = std::min(image.width, static_cast<std::size_t>(std::ceil(box.left + box.width)));
  ATTN_CHECK(box.top >= 0 && box.left >= 0 && top < bottom && left < right, "cut_out: give a box within the ",
             image.height, " x ", image.width, " image, not ", box.height, " x ", box.width, " at ", box.top, ", ",
             box.left);
  out.resize(bottom - top, right - left, image.channels);
  for (std::size_t y = 0; y < out.height; ++y) {
    std::memcpy(out.at(y, 0), image.at(top + y, left), out.width * out.channels);
  }
  return {.top = box.top - double(top), .left = box.left - double(left), .height = box.height, .width = box.width};
}

/// The image (height, width) whose pixel (y, x) is the one at (y + down, x + right) before; outside it is black.
inline void shift(Image& image, std::ptrdiff_t down, std::ptrdiff_t right, std::size_t height, std::size_t width,
                  ImageScratch& scratch) {
  Image& out = scratch.of(height, width, image.channels);
  auto const rows = static_cast<std::ptrdiff_t>(image.height), columns = static_cast<std::ptrdiff_t>(image.width);
  std::ptrdiff_t const first = std::max<std::ptrdiff_t>(0, -right);
  std::ptrdiff_t const end = std::min(static_cast<std::ptrdiff_t>(width), columns - right);
  for (std::size_t y = 0; y < height; ++y) {
    std::ptrdiff_t const from = static_cast<std::ptrdiff_t>(y) + down;
    std::memset(out.at(y, 0), 0, width * image.channels);
    if (from < 0 || from >= rows || first >= end) continue;
    std::memcpy(out.at(y, std::size_t(first)), image.at(std::size_t(from), std::size_t(first + right)),
                std::size_t(end - first) * image.channels);
  }
  std::swap(image, out);
}

}  // namespace attn::data
