/// Images and labels in IDX files, the format of MNIST and its relatives, compressed with gzip or plain.
///
/// An IDX file is a magic number (two zero bytes, the type 8 of unsigned bytes, the number of dimensions), each extent
/// as a big-endian 32-bit number, and the bytes: labels have one dimension, images three (count, height, width).
#pragma once

#include "attn/data/dataset.hpp"
#include "attn/data/gzip.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace attn::data {

namespace detail {

struct Idx {
  std::vector<std::size_t> extents;
  std::vector<std::uint8_t> bytes;
};

/// How many bytes an IDX file has by its first ones, and some more, so that one which is a little longer is told by its
/// size. `start` has its magic number.
inline std::size_t announced_bytes(std::vector<unsigned char> const& start) {
  std::size_t const dimensions = start[3];
  double elements = 1;
  for (std::size_t d = 0; d < dimensions && start.size() >= 8 + 4 * d; ++d) {
    double extent = 0;
    for (std::size_t b = 0; b < 4; ++b) extent = 256 * extent + start[4 + 4 * d + b];
    elements *= extent;
  }
  return static_cast<std::size_t>(std::min(elements, 1e18)) + (std::size_t(1) << 20);
}

/// Reads an IDX file of bytes that must have `dimensions`. `wanted` is what the caller was told the file holds.
inline Idx read_idx(std::filesystem::path const& path, std::size_t dimensions, std::string const& wanted) {
  std::string const name = "load_idx: '" + path.string() + "'";
  auto const check_start = [&](std::vector<unsigned char> const& start) {
    bool const is_idx = start.size() >= 4 && start[0] == 0 && start[1] == 0;
    ATTN_CHECK(is_idx, name, " is not an IDX file; give one that holds ", wanted);
  };
  std::vector<unsigned char> content = read_content(path, largest_content(), [&](auto const& start) {
    check_start(start);
    return announced_bytes(start);
  });
  check_start(content);
  ATTN_CHECK(content[2] == 8, name, " holds elements of type ", int(content[2]), ", not unsigned bytes (8)");
  std::size_t const found = content[3];
  char const* const kind = found == 1 ? "labels" : found == 3 ? "images" : "something else";
  ATTN_CHECK(found == dimensions, name, " holds ", kind, " (", found, found == 1 ? " dimension" : " dimensions",
             "), not ", wanted, "; were two files exchanged?");
  std::size_t const header = 4 + 4 * dimensions;
  ATTN_CHECK(content.size() >= header, name, " is truncated within its header");
  Idx idx;
  std::uint64_t total = 1;
  bool countable = true;
  for (std::size_t d = 0; d < dimensions; ++d) {
    std::uint64_t extent = 0;
    for (std::size_t b = 0; b < 4; ++b) extent = extent << 8 | content[4 + 4 * d + b];
    idx.extents.push_back(extent);
    countable = countable && !__builtin_mul_overflow(total, extent, &total);
  }
  std::size_t const held = content.size() - header;
  std::string shape;
  for (std::size_t const extent : idx.extents) shape += (shape.empty() ? "" : " x ") + std::to_string(extent);
  ATTN_CHECK(countable && total == held, name, held < total || !countable ? " is truncated: " : " is corrupt: ", shape,
             " bytes are announced, ", held, " are there");
  content.erase(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(header));
  idx.bytes = std::move(content);
  return idx;
}

}  // namespace detail

/// Reads a pair of IDX files; each path may be given with or without ".gz". `classes` 0 means one more than the highest
/// label. Labels, counts and sizes are checked; the normalization is that of these images.
inline Dataset load_idx(std::filesystem::path const& images_path, std::filesystem::path const& labels_path,
                        int classes = 0) {
  auto const images_file = with_or_without_gz(images_path);
  auto const labels_file = with_or_without_gz(labels_path);
  detail::Idx images = detail::read_idx(images_file, 3, "images");
  detail::Idx const labels = detail::read_idx(labels_file, 1, "labels");
  Dataset dataset;
  dataset.count = images.extents[0];
  dataset.height = images.extents[1];
  dataset.width = images.extents[2];
  ATTN_CHECK(dataset.count > 0 && dataset.image_size() > 0, "load_idx: '", images_file.string(), "' holds no pixels");
  ATTN_CHECK(labels.bytes.size() == dataset.count, "load_idx: '", images_file.string(), "' holds ", dataset.count,
             " images, but '", labels_file.string(), "' holds ", labels.bytes.size(), " labels");
  dataset.images = std::move(images.bytes);
  dataset.labels.assign(labels.bytes.begin(), labels.bytes.end());
  int const highest = *std::max_element(dataset.labels.begin(), dataset.labels.end());
  dataset.classes = classes > 0 ? classes : highest + 1;
  dataset.normalization = channel_statistics(dataset);
  check(dataset, "load_idx: '" + labels_file.string() + "'");
  return dataset;
}

/// Data to learn from and data to judge by.
struct Split {
  Dataset train;
  Dataset test;
};

/// The four files of a split.
struct IdxPaths {
  std::filesystem::path train_images;
  std::filesystem::path train_labels;
  std::filesystem::path test_images;
  std::filesystem::path test_labels;
};

/// The names that MNIST and its relatives give to the four files.
inline IdxPaths idx_paths(std::filesystem::path const& directory) {
  return {directory / "train-images-idx3-ubyte", directory / "train-labels-idx1-ubyte",
          directory / "t10k-images-idx3-ubyte", directory / "t10k-labels-idx1-ubyte"};
}

/// Reads training and test data. The test data must fit the training data: images of the same size, no label beyond
/// the training data's; it is normalized by the statistics of the training data.
inline Split load_idx_split(IdxPaths const& paths, int classes = 0) {
  Split split{load_idx(paths.train_images, paths.train_labels, classes), {}};
  split.test = load_idx(paths.test_images, paths.test_labels, split.train.classes);
  Dataset const& train = split.train;
  ATTN_CHECK(split.test.height == train.height && split.test.width == train.width, "load_idx_split: '",
             paths.test_images.string(), "' holds images of ", split.test.height, " x ", split.test.width, ", but '",
             paths.train_images.string(), "' of ", train.height, " x ", train.width);
  split.test.normalization = train.normalization;
  return split;
}

/// Where Debian's package dataset-fashion-mnist puts its files.
inline constexpr char const* fashion_mnist_directory = "/usr/share/datasets/fashion-mnist";

/// Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 60,000 + 10,000 grey images of 28 x 28, 10 classes.
inline Split load_fashion_mnist(std::filesystem::path const& directory = fashion_mnist_directory) {
  std::error_code ignored;
  ATTN_CHECK(std::filesystem::is_directory(directory, ignored),
             "load_fashion_mnist: install Debian's package dataset-fashion-mnist or give the directory of its four "
             "files, there is no '",
             directory.string(), "'");
  Split split = load_idx_split(idx_paths(directory), 10);
  split.train.class_names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                             "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
  split.test.class_names = split.train.class_names;
  return split;
}

}  // namespace attn::data
