/// Pathfinder (Linsley et al. 2018) as the Long Range Arena released it: are two dots joined by a dashed curve? Images
/// of 32 x 32 pixels, pixel by pixel.
#pragma once

#include "attn/data/detail/lines.hpp"
#include "attn/data/detail/png.hpp"
#include "attn/data/distributions.hpp"
#include "attn/data/gzip.hpp"
#include "attn/data/sequences.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace attn::data {

namespace pathfinder {

/// Of a picture, in pixels.
inline constexpr std::size_t side = 32;
/// The folder of the hardest of the three difficulties.
inline constexpr char const* hardest = "curv_contour_length_14";

/// An empty dataset. The ids are the grey values themselves, so black pixels have the id of padding.
inline Sequences empty_dataset() {
  Sequences data;
  data.length = side * side;
  data.vocabulary = 512;
  data.classes = 2;
  data.first_id = 0;
  return data;
}

}  // namespace pathfinder

/// Reads one difficulty: `FOLDER/metadata/<k>.npy`, which are plain text in spite of their names, one line an image
/// (`imgs/<k> sample_<i>.png index label ...`), and the images they name. An image that is empty or unreadable is left
/// out and counted in `skipped`: the release has one.
inline Sequences read_pathfinder_folder(std::filesystem::path const& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> lists;
  for (auto const& entry : std::filesystem::directory_iterator(folder / "metadata", error)) {
    if (entry.path().extension() == ".npy") lists.push_back(entry.path());
  }
  ATTN_CHECK(!error, "read_pathfinder_folder: cannot read the folder '", (folder / "metadata").string(),
             "': ", error.message());
  std::sort(lists.begin(), lists.end());

  Sequences data = pathfinder::empty_dataset();
  for (auto const& list : lists) {
    detail::Lines lines(list, "read_pathfinder_folder");
    while (lines.next()) {
      if (lines.text().empty()) continue;
      lines.check(!lines.text().starts_with("\x93NUMPY"), "plain text is wanted, this is a NumPy array");
      std::vector<std::string> fields(1);
      for (char const c : lines.text()) {
        if (c == ' ') {
          fields.emplace_back();
        } else {
          fields.back() += c;
        }
      }
      lines.check(fields.size() >= 4, "folder, file, index and label are wanted, there are ", fields.size(), " fields");
      lines.check(fields[3] == "0" || fields[3] == "1", "a label 0 or 1 is wanted, there is '", fields[3], "'");
      std::filesystem::path const name = std::filesystem::path(fields[0]) / fields[1];
      bool const inside = name.is_relative() && std::find(name.begin(), name.end(), "..") == name.end();
      lines.check(inside, "an image in the folder is wanted, there is '", name.string(), "'");
      auto const file = folder / name;
      lines.check(std::filesystem::exists(file, error), "there is no '", file.string(), "'");
      auto const image = detail::decode_png(read_bytes(file));
      if (!image) {
        ++data.skipped;
        continue;
      }
      lines.check(image->height == pathfinder::side && image->width == pathfinder::side, "'", file.string(), "' has ",
                  image->height, " x ", image->width, " pixels, 32 x 32 are wanted");
      data.append(image->pixels, data.length);
      data.labels.push_back(fields[3] == "1");
    }
  }
  ATTN_CHECK(data.count() > 0, "read_pathfinder_folder: '", folder.string(), "' holds no images");
  return data;
}

/// 80 % of the images in random order to learn from, 10 % to choose by, 10 % to judge by.
inline SequenceSplits split_pathfinder(Sequences const& all, RandomKey key) {
  std::vector<std::uint32_t> order(all.count());
  shuffle(subkey(key, "split"), order);
  auto const at = [&](std::size_t tenths) {
    return order.begin() + static_cast<std::ptrdiff_t>(order.size() * tenths / 10);
  };
  using Indices = std::vector<std::uint32_t>;
  SequenceSplits splits{select(all, Indices(at(0), at(8))), select(all, Indices(at(8), at(9))),
                        select(all, Indices(at(9), at(10)))};
  splits.train.skipped = all.skipped;
  return splits;
}

/// Reads a difficulty of pathfinder32 in `directory`, or where the release has it below, and splits it.
inline SequenceSplits load_pathfinder(std::filesystem::path const& directory, RandomKey key,
                                      std::string const& difficulty = pathfinder::hardest) {
  std::error_code ignored;
  bool const is_it = std::filesystem::is_directory(directory / "metadata", ignored);
  auto const folder =
      is_it
          ? directory
          : detail::find_folder("load_pathfinder", directory, difficulty,
                                {"pathfinder32", "lra_release/pathfinder32", "lra_release/lra_release/pathfinder32"}) /
                difficulty;
  return split_pathfinder(read_pathfinder_folder(folder), key);
}

/// Writes images as the release has them, a thousand to a folder.
inline void write_pathfinder_folder(std::filesystem::path const& folder, Sequences const& data) {
  constexpr std::size_t images_per_folder = 1000;
  for (std::size_t first = 0; first < data.count(); first += images_per_folder) {
    std::string const batch = std::to_string(first / images_per_folder);
    std::filesystem::create_directories(folder / "imgs" / batch);
    std::filesystem::create_directories(folder / "metadata");
    std::ofstream list(folder / "metadata" / (batch + ".npy"), std::ios::binary);
    for (std::size_t i = first; i < std::min(data.count(), first + images_per_folder); ++i) {
      std::string const name = "sample_" + std::to_string(i - first) + ".png";
      detail::write_png(folder / "imgs" / batch / name, data.sequence(i), pathfinder::side);
      list << "imgs/" << batch << ' ' << name << ' ' << i - first << ' ' << data.labels[i] << " 1.0 14 4 2 0.5 1 1\n";
    }
    ATTN_CHECK(bool(list.flush()), "write_pathfinder_folder: cannot write below '", folder.string(), "'");
  }
}

}  // namespace attn::data
