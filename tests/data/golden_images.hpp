/// What tests/golden/make_augment.py wrote.
#pragma once

#include "attn/data/image.hpp"
#include "attn/io/npy.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace attn::testing {

inline std::filesystem::path golden_path(std::string const& file) {
  return std::filesystem::path(ATTN_GOLDEN_DIR) / "augment" / file;
}

template <class T>
std::vector<T> golden_numbers(std::string const& name) {
  return io::read_npy(golden_path(name + ".npy")).as<T>();
}

/// Images of one size, (count, height, width, channels); without a count one image.
inline std::vector<data::Image> golden_images(std::string const& name) {
  auto const array = io::read_npy(golden_path(name + ".npy"));
  auto const bytes = array.as<std::uint8_t>();
  auto const& shape = array.shape;
  std::size_t const axes = shape.size(), count = axes == 4 ? shape[0] : 1;
  std::vector<data::Image> images(count, data::Image(shape[axes - 3], shape[axes - 2], shape[axes - 1]));
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t const size = images[i].pixels.size();
    images[i].pixels.assign(bytes.begin() + std::ptrdiff_t(i * size), bytes.begin() + std::ptrdiff_t((i + 1) * size));
  }
  return images;
}

}  // namespace attn::testing
