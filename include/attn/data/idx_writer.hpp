/// Writes images and labels as IDX files, compressed with gzip: what `load_idx` reads.
#pragma once

#include "attn/data/idx.hpp"

#include <fstream>
#include <limits>

namespace attn::data {

namespace detail {

/// In gzip's format, without a time, so that the same bytes become the same file.
inline std::string gzip(std::string const& bytes) {
  ATTN_CHECK(bytes.size() < std::numeric_limits<uInt>::max() / 2, "write_idx: give less than 2 GB");
  ::z_stream stream{};
  ATTN_CHECK(::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK,
             "write_idx: zlib could not start");
  std::string result(::deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<unsigned char*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  int const status = ::deflate(&stream, Z_FINISH);
  result.resize(stream.total_out);
  ::deflateEnd(&stream);
  ATTN_CHECK(status == Z_STREAM_END, "write_idx: zlib failed");
  return result;
}

/// PATH.gz, which appears when it is complete.
inline void write_idx_file(std::filesystem::path path, std::vector<std::size_t> const& extents,
                           std::string const& elements) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(extents.size())};
  for (std::size_t const extent : extents) {
    ATTN_CHECK(extent <= 0xffffffffu, "write_idx: give extents of 32 bits, got ", extent);
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(extent >> shift & 255);
  }
  std::string const compressed = gzip(bytes + elements);
  path += ".gz";
  std::filesystem::path partial = path;
  partial += ".partial";
  std::ofstream file(partial, std::ios::binary);
  file.write(compressed.data(), static_cast<std::streamsize>(compressed.size()));
  file.close();
  ATTN_CHECK(file.good(), "write_idx: cannot write '", partial.string(), "'");
  std::filesystem::rename(partial, path);
}

}  // namespace detail

/// Writes grey images and labels up to 255 as IDX files; ".gz" is added to both paths.
inline void write_idx(Dataset const& dataset, std::filesystem::path const& images_path,
                      std::filesystem::path const& labels_path) {
  ATTN_CHECK(dataset.channels == 1 && dataset.classes <= 256,
             "write_idx: give grey images of at most 256 classes, not of ", dataset.channels, " channels and ",
             dataset.classes, " classes");
  detail::write_idx_file(images_path, {dataset.count, dataset.height, dataset.width},
                         std::string(dataset.images.begin(), dataset.images.end()));
  std::string labels;
  for (std::int32_t const label : dataset.labels) labels += static_cast<char>(label);
  detail::write_idx_file(labels_path, {dataset.count}, labels);
}

/// The four files of a split in a directory, which is created; `idx_paths` has their names.
inline void write_idx_split(Split const& split, std::filesystem::path const& directory) {
  std::filesystem::create_directories(directory);
  IdxPaths const paths = idx_paths(directory);
  write_idx(split.train, paths.train_images, paths.train_labels);
  write_idx(split.test, paths.test_images, paths.test_labels);
}

}  // namespace attn::data
