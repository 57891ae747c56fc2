/// Source: a data set as training reads it, one sample at a time.
#pragma once

#include "attn/core/random.hpp"
#include "attn/data/dataset.hpp"
#include "attn/data/train_transform.hpp"
#include "attn/data/transform.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace attn::data {

/// Samples by number. Whoever reads a source asks for them in an order that a seed decides, from as many threads as
/// are wanted.
///
///  1. `source.size()` is how many there are; it does not change.
///  2. `source.sample(i, key, out)` reads sample i < size() into `out`. What is random in it is drawn from `key` alone,
///  so
///     a sample is the same on any thread and after a resumption. Called by several threads at once.
///  3. Where a sample cannot be read, it throws `attn::Error` that names it.
template <class S>
concept Source = requires(S const& source, std::size_t i, RandomKey key, typename S::Sample& out) {
  { source.size() } -> std::convertible_to<std::size_t>;
  source.sample(i, key, out);
};

/// What all images of a source have in common.
struct ImageShape {
  std::size_t channels = 1;
  std::size_t height = 0;
  std::size_t width = 0;
  int classes = 0;

  std::size_t image_size() const { return channels * height * width; }
};

/// Where a source writes one image: the numbers that a model sees, (channels, height, width), and its label.
template <class T>
struct ImageSample {
  T* pixels = nullptr;
  std::int32_t label = 0;
};

/// A source of labelled images, all of one shape: `source.shape()`.
template <class S, class T>
concept ImageSource = Source<S> && std::same_as<typename S::Sample, ImageSample<T>> && requires(S const& source) {
  { source.shape() } -> std::convertible_to<ImageShape>;
};

/// The images of a `Dataset`, which must outlive this, brought to one shape by a transform.
template <class T, ImageTransform<T> Tr = TrainTransform<T>>
class DatasetImages {
 public:
  using Sample = ImageSample<T>;

  /// Of their own size: normalized, and for training changed at random.
  explicit DatasetImages(Dataset const& data,
                         Augmentation const& augmentation = {}) requires std::same_as<Tr, TrainTransform<T>>
      : DatasetImages(data, Tr(data.height, data.width, data.normalization, augmentation)) {}

  DatasetImages(Dataset const& data, Tr transform) : data_(data), transform_(std::move(transform)) {}

  std::size_t size() const { return data_.count; }
  ImageShape shape() const { return {data_.channels, transform_.height(), transform_.width(), data_.classes}; }

  void sample(std::size_t i, RandomKey key, Sample& out) const {
    Image& image = image_memory().original;
    copy_image(data_, i, image);
    transform_(image, transform_.box(data_.height, data_.width, key), key, out.pixels);
    out.label = data_.labels[i];
  }

 private:
  Dataset const& data_;
  Tr transform_;
};

/// The numbers 0 ... count - 1 in an order that a key decides. Remembers the last one: an epoch is shuffled once.
class Shuffled {
 public:
  explicit Shuffled(std::size_t count) : order_(count) {}

  std::vector<std::uint32_t> const& operator()(RandomKey key) {
    if (!known_ || key.seed != key_.seed || key.stream != key_.stream) shuffle(key, order_);
    known_ = true;
    key_ = key;
    return order_;
  }

 private:
  std::vector<std::uint32_t> order_;
  RandomKey key_ = {};
  bool known_ = false;
};

}  // namespace attn::data
