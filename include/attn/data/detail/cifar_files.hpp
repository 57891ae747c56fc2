/// The binary files of CIFAR-10 and CIFAR-100: which there are, and what an image in them is.
#pragma once

#include "attn/core/check.hpp"
#include "attn/data/gzip.hpp"

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace attn::data::detail {

/// What distinguishes the two: CIFAR-100 says a coarse class before the fine one.
struct CifarLayout {
  static constexpr std::size_t pixels = 32 * 32;

  int classes;
  std::size_t labels;  // bytes in front of the pixels; the last one is the class
  char const* folder;  // that their archive makes
  char const* names;   // file of the names of classes, a line each
  std::vector<std::string> train;
  char const* test;
};

inline CifarLayout cifar10() {
  return {10,
          1,
          "cifar-10-batches-bin",
          "batches.meta.txt",
          {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
          "test_batch.bin"};
}
inline CifarLayout cifar100() {
  return {100, 2, "cifar-100-binary", "fine_label_names.txt", {"train.bin"}, "test.bin"};
}

/// use(label, bytes) for each image of a file, in order; the bytes are the planes of red, green and blue, row by row.
/// `function` opens messages.
template <class Use>
void for_cifar_images(std::string const& function, std::filesystem::path const& path, CifarLayout const& layout,
                      Use const& use) {
  auto const bytes = read_content(path);
  std::size_t const record = layout.labels + 3 * CifarLayout::pixels;
  ATTN_CHECK(bytes.size() % record == 0, function, ": '", path.string(), "' is truncated or no CIFAR-", layout.classes,
             " file of the binary version: ", bytes.size(), " bytes are not a multiple of ", record);
  for (std::size_t at = 0; at < bytes.size(); at += record) {
    int const label = bytes[at + layout.labels - 1];
    ATTN_CHECK(label < layout.classes, function, ": '", path.string(), "' has the label ", label, " at image ",
               at / record, ", there are ", layout.classes, " classes");
    use(label, bytes.data() + at + layout.labels);
  }
}

}  // namespace attn::data::detail
