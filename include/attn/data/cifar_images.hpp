/// Images of CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in colour, as labelled images of 32 x 32.
#pragma once

#include "attn/data/detail/cifar_files.hpp"
#include "attn/data/detail/lines.hpp"
#include "attn/data/idx.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace attn::data {

/// Reads the binary files of CIFAR-10 (data_batch_1.bin ... data_batch_5.bin, test_batch.bin) or of CIFAR-100
/// (train.bin, test.bin; the 100 fine classes), whichever is there, in `directory` or in the folder that their archive
/// makes. Both parts are normalized by the statistics of the training images. Names of classes where their file is
/// there.
inline Split load_cifar_images(std::filesystem::path const& directory) {
  std::error_code ignored;
  auto const has = [&](char const* folder, char const* file) {
    return std::filesystem::exists(directory / folder / file, ignored);
  };
  bool const fine = has("", "train.bin") || has("cifar-100-binary", "train.bin");
  detail::CifarLayout const layout = fine ? detail::cifar100() : detail::cifar10();
  auto const folder = detail::find_folder("load_cifar_images", directory, layout.train.front(), {layout.folder});
  Split split;
  auto const read = [&](std::string const& name, Dataset& part) {
    part.channels = 3;
    part.height = part.width = 32;
    part.classes = layout.classes;
    detail::for_cifar_images("load_cifar_images", folder / name, layout, [&](int label, unsigned char const* pixels) {
      part.labels.push_back(label);
      part.images.insert(part.images.end(), pixels, pixels + part.image_size());
      ++part.count;
    });
    ATTN_CHECK(part.count > 0, "load_cifar_images: '", (folder / name).string(), "' is empty");
  };
  for (std::string const& name : layout.train) read(name, split.train);
  read(layout.test, split.test);
  if (std::filesystem::exists(folder / layout.names, ignored)) {
    std::vector<std::string> names;
    for (detail::Lines lines(folder / layout.names, "load_cifar_images"); lines.next();) {
      if (!lines.text().empty()) names.push_back(lines.text());
    }
    if (names.size() == static_cast<std::size_t>(layout.classes)) {
      split.train.class_names = split.test.class_names = std::move(names);
    }
  }
  split.train.normalization = split.test.normalization = channel_statistics(split.train);
  return split;
}

}  // namespace attn::data
