/// Image classification of the Long Range Arena: CIFAR-10 (Krizhevsky 2009) in grey, pixel by pixel.
#pragma once

#include "attn/data/detail/cifar_files.hpp"
#include "attn/data/detail/lines.hpp"
#include "attn/data/sequences.hpp"

#include <array>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

namespace attn::data {

namespace cifar {

/// Of an image, in one channel.
inline constexpr std::size_t pixels = detail::CifarLayout::pixels;

/// Red, green and blue to grey: weighted with 0.2989, 0.5870 and 0.1140 in fp32 on [0, 1], times 255.5, rounded down.
inline std::uint8_t grey(std::uint8_t red, std::uint8_t green, std::uint8_t blue) {
  constexpr float scale = 1.0f / 255;
  float const value = (float(red) * scale * 0.2989f + float(green) * scale * 0.5870f) + float(blue) * scale * 0.1140f;
  return static_cast<std::uint8_t>(value * 255.5f);
}

/// An empty dataset. The ids are the grey values themselves, so black pixels have the id of padding.
inline Sequences empty_dataset() {
  Sequences data;
  data.length = pixels;
  data.vocabulary = 512;
  data.classes = 10;
  data.first_id = 0;
  return data;
}

}  // namespace cifar

/// Appends the images of one file: for each a label and the planes of red, green and blue, row by row.
inline void read_cifar10_file(std::filesystem::path const& path, Sequences& data) {
  std::array<std::uint8_t, cifar::pixels> image;
  auto const append = [&](int label, unsigned char const* red) {
    for (std::size_t p = 0; p < cifar::pixels; ++p) {
      image[p] = cifar::grey(red[p], red[p + cifar::pixels], red[p + 2 * cifar::pixels]);
    }
    data.append(image, cifar::pixels);
    data.labels.push_back(label);
  };
  detail::for_cifar_images("read_cifar10_file", path, detail::cifar10(), append);
}

/// Reads data_batch_1.bin ... data_batch_5.bin and test_batch.bin, in `directory` or in cifar-10-batches-bin below it.
/// The first 90 % of the training images are for training, the others to choose by.
inline SequenceSplits load_cifar10(std::filesystem::path const& directory) {
  detail::CifarLayout const layout = detail::cifar10();
  auto const folder = detail::find_folder("load_cifar10", directory, layout.train.front(), {layout.folder});
  Sequences all = cifar::empty_dataset();
  for (std::string const& name : layout.train) read_cifar10_file(folder / name, all);
  SequenceSplits splits;
  splits.test = cifar::empty_dataset();
  read_cifar10_file(folder / layout.test, splits.test);
  std::vector<std::size_t> order(all.count());
  std::iota(order.begin(), order.end(), std::size_t(0));
  auto const last_train = order.begin() + static_cast<std::ptrdiff_t>(order.size() - order.size() / 10);
  splits.train = select(all, std::vector<std::size_t>(order.begin(), last_train));
  splits.dev = select(all, std::vector<std::size_t>(last_train, order.end()));
  return splits;
}

}  // namespace attn::data
