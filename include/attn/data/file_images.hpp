/// FileImages: a source that reads pictures of any size from their files when they are asked for.
#pragma once

#include "attn/data/decode_image.hpp"
#include "attn/data/image_files.hpp"
#include "attn/data/source.hpp"
#include "attn/data/transform.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace attn::data {

/// Which pictures could not be read, found out by all workers together.
class UnreadableImages {
 public:
  void add(std::size_t i, char const* fault) {
    std::lock_guard lock(mutex_);
    if (indices_.insert(i).second && first_fault_.empty()) first_fault_ = fault;
  }
  std::size_t count() const {
    std::lock_guard lock(mutex_);
    return indices_.size();
  }
  /// What was wrong with the one that was found first; empty if there is none.
  std::string first_fault() const {
    std::lock_guard lock(mutex_);
    return first_fault_;
  }

 private:
  mutable std::mutex mutex_;
  std::set<std::size_t> indices_;
  std::string first_fault_;
};

/// How pictures of a folder are read.
struct FileImagesOptions {
  DecodeOptions decode = {};
  std::size_t channels = 3;                // that the transform writes
  UnreadableImages* unreadable = nullptr;  // none: a picture that cannot be read stops everything. Otherwise it is
                                           // noted there, and the next one that can be read takes its place
};

/// Pictures out of `files`, which must outlive this, brought to one shape by a transform. Which picture replaces one
/// that cannot be read depends on the files alone, so batches are the same for any number of workers.
template <class T, ImageTransform<T> Tr>
class FileImages {
 public:
  using Sample = ImageSample<T>;

  FileImages(ImageFiles const& files, Tr transform, FileImagesOptions const& options = {})
      : files_(files), transform_(std::move(transform)), options_(options) {
    ATTN_CHECK(files.size() > 0 && files.names.size() == files.labels.size(),
               "FileImages: give at least one file, and a label for each, not ", files.names.size(), " and ",
               files.labels.size());
  }

  std::size_t size() const { return files_.size(); }
  ImageShape shape() const {
    return {options_.channels, transform_.height(), transform_.width(), static_cast<int>(files_.classes.size())};
  }

  void sample(std::size_t i, RandomKey key, Sample& out) const {
    constexpr std::size_t attempts = 1000;
    for (std::size_t attempt = 0;; ++attempt) {
      std::size_t const at = (i + attempt) % size();
      try {
        read(at, key, out);
        return;
      } catch (Error const& e) {
        if (options_.unreadable == nullptr) throw;
        options_.unreadable->add(at, e.what());
        ATTN_CHECK(attempt + 1 < std::min(attempts, size()), "FileImages: none of ", attempt + 1,
                   " files in a row can be read; the last fault: ", e.what());
      }
    }
  }

 private:
  void read(std::size_t i, RandomKey key, Sample& out) const {
    thread_local std::vector<unsigned char> bytes;
    thread_local Image image;
    std::filesystem::path const path = files_.path(i);
    read_bytes(path, bytes);
    EncodedImage encoded(bytes, path.string(), options_.decode);
    ImageBox const box = transform_.box(encoded.height(), encoded.width(), key);
    ImageBox const decoded = encoded.decode(box, transform_.height(), transform_.width(), image);
    transform_(image, decoded, key, out.pixels);
    out.label = files_.labels[i];
  }

  ImageFiles const& files_;
  Tr transform_;
  FileImagesOptions options_;
};

}  // namespace attn::data
