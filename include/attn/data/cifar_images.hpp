/// Images of CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in colour, as labelled images of 32 x 32.
#pragma once

#include "attn/data/detail/lines.hpp"
#include "attn/data/gzip.hpp"
#include "attn/data/idx.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace attn::data {

namespace detail {

/// What distinguishes the two: CIFAR-100 says a coarse class before the fine one.
struct CifarLayout {
  int classes;
  std::size_t labels;  // bytes in front of the pixels; the last one is the class
  char const* names;   // file of the names of classes, a line each
  std::vector<std::string> train;
  std::string test;
};

inline void append_cifar(std::filesystem::path const& path, CifarLayout const& layout, Dataset& data) {
  auto const bytes = read_content(path);
  std::size_t const record = layout.labels + data.image_size();
  ATTN_CHECK(!bytes.empty() && bytes.size() % record == 0, "load_cifar_images: '", path.string(),
             "' is truncated or no file of the binary version: ", bytes.size(), " bytes are not a multiple of ",
             record);
  for (std::size_t at = 0; at < bytes.size(); at += record) {
    int const label = bytes[at + layout.labels - 1];
    ATTN_CHECK(label < layout.classes, "load_cifar_images: '", path.string(), "' has the label ", label, " at image ",
               at / record, ", there are ", layout.classes, " classes");
    data.labels.push_back(label);
    auto const pixels = bytes.begin() + static_cast<std::ptrdiff_t>(at + layout.labels);
    data.images.insert(data.images.end(), pixels, pixels + static_cast<std::ptrdiff_t>(data.image_size()));
    ++data.count;
  }
}

}  // namespace detail

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
  detail::CifarLayout layout{.classes = fine ? 100 : 10,
                             .labels = fine ? 2u : 1u,
                             .names = fine ? "fine_label_names.txt" : "batches.meta.txt",
                             .train = {"train.bin"},
                             .test = fine ? "test.bin" : "test_batch.bin"};
  if (!fine) {
    layout.train.clear();
    for (int i = 1; i <= 5; ++i) layout.train.push_back("data_batch_" + std::to_string(i) + ".bin");
  }
  auto const folder = detail::find_folder("load_cifar_images", directory, layout.train.front(),
                                          {fine ? "cifar-100-binary" : "cifar-10-batches-bin"});
  Split split;
  for (Dataset* const part : {&split.train, &split.test}) {
    part->channels = 3;
    part->height = part->width = 32;
    part->classes = layout.classes;
  }
  for (std::string const& name : layout.train) detail::append_cifar(folder / name, layout, split.train);
  detail::append_cifar(folder / layout.test, layout, split.test);
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
