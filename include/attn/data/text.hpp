/// Text classification of the Long Range Arena: film reviews (IMDb, Maas et al. 2011), byte by byte.
#pragma once

#include "attn/data/detail/lines.hpp"
#include "attn/data/gzip.hpp"
#include "attn/data/sequences.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

namespace attn::data {

/// Where a text is cut, and what is added to that for the length of batches. The published figure of 4000 was never
/// used by the published recipe: its data had 1000 bytes.
struct TextOptions {
  std::size_t limit = 1000;
  std::size_t padding = 24;
};

namespace detail {

/// The files of a folder that end in ".txt", ordered by name.
inline std::vector<std::filesystem::path> text_files(std::filesystem::path const& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (auto const& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path());
  }
  ATTN_CHECK(!error, "load_text: cannot read the folder '", folder.string(), "': ", error.message());
  ATTN_CHECK(!files.empty(), "load_text: '", folder.string(), "' holds no .txt files");
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace detail

/// Reads FOLDER/neg (label 0) and FOLDER/pos (label 1): one review a file, its bytes as they are. An empty file is a
/// sequence without tokens.
inline Sequences read_text_folder(std::filesystem::path const& folder, TextOptions const& options = {}) {
  Sequences data;
  data.length = options.limit + options.padding;
  data.vocabulary = 512;
  data.classes = 2;
  int label = 0;
  for (char const* name : {"neg", "pos"}) {
    for (auto const& file : detail::text_files(folder / name)) {
      data.append(read_bytes(file), options.limit);
      data.labels.push_back(label);
    }
    ++label;
  }
  return data;
}

/// Reads aclImdb/train and aclImdb/test. There are no other data to choose by: `dev` is `test`, as in the published
/// recipe.
inline SequenceSplits load_text(std::filesystem::path const& directory, TextOptions const& options = {}) {
  auto const folder = detail::find_folder("load_text", directory, "train", {"aclImdb"});
  SequenceSplits splits;
  splits.train = read_text_folder(folder / "train", options);
  splits.test = read_text_folder(folder / "test", options);
  splits.dev = splits.test;
  return splits;
}

}  // namespace attn::data
