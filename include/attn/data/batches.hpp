/// Batches of images for training, shuffled and augmented, and for evaluation, in order; prepared while the step before
/// runs. The sequence is a function of the key alone: the same for any number of threads, and after a resumption.
#pragma once

#include "attn/core/concepts.hpp"
#include "attn/data/augment.hpp"
#include "attn/data/mix.hpp"
#include "attn/data/prefetch.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace attn::data {

/// Memory of the host from which copies to the device are fastest.
#ifdef KOKKOS_HAS_SHARED_HOST_PINNED_SPACE
using StagingSpace = Kokkos::SharedHostPinnedSpace;
#else
using StagingSpace = Kokkos::HostSpace;
#endif

/// Some images of a dataset, ready for a model, in buffers that are used again for later batches.
template <class T>
class Batch {
 public:
  template <class Data>
  using Buffer = Kokkos::View<Data, Kokkos::LayoutRight, StagingSpace>;
  template <class Data>
  using View = Kokkos::View<Data, Kokkos::LayoutRight, StagingSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

  /// Allocates for at most `capacity` images.
  Batch(Dataset const& data, std::size_t capacity)
      : images_(uninitialized("batch images"), capacity, data.channels, data.height, data.width),
        labels_(uninitialized("batch labels"), capacity),
        targets_(uninitialized("batch targets"), capacity, static_cast<std::size_t>(data.classes)) {
    indices.reserve(capacity);
  }

  std::vector<std::size_t> indices;  // which image of the dataset each one is
  std::uint64_t epoch = 0;
  std::uint64_t index = 0;  // of this batch within its epoch
  Mix mix;

  std::size_t size() const { return indices.size(); }
  View<T****> images() const {  // (size, channels, height, width)
    return View<T****>(images_.data(), size(), images_.extent(1), images_.extent(2), images_.extent(3));
  }
  View<std::int32_t*> labels() const { return View<std::int32_t*>(labels_.data(), size()); }  // (size)
  View<T**> targets() const {
    return View<T**>(targets_.data(), size(), targets_.extent(1));
  }  // (size, classes), rows sum to 1

 private:
  static auto uninitialized(std::string const& label) { return Kokkos::view_alloc(label, Kokkos::WithoutInitializing); }

  Buffer<T****> images_;
  Buffer<std::int32_t*> labels_;
  Buffer<T**> targets_;
};

struct BatchOptions {
  std::size_t batch_size = 64;
  RandomKey key = {};
  Augmentation augmentation = {};
  Mixing mixing = {};
  double smoothing = 0;           // of the labels
  bool drop_last = true;          // leave out the images that do not fill a batch at the end of an epoch
  std::uint64_t first_epoch = 0;  // where to start: a resumed run continues with the batch after its checkpoint
  std::uint64_t first_batch = 0;
};

/// Steps of an epoch over `count` images.
inline std::uint64_t batches_per_epoch(std::size_t count, BatchOptions const& options) {
  return (count + (options.drop_last ? 0 : options.batch_size - 1)) / options.batch_size;
}

/// Endless shuffled epochs of a dataset, which must outlive this. Every epoch has its own order, every image of every
/// epoch its own augmentation, every batch its own mixing. Allocates only when it is made.
template <class T = float>
class TrainingBatches {
 public:
  TrainingBatches(Dataset const& data, BatchOptions const& options)
      : data_(data),
        options_(checked(options, data)),
        normalizer_(data.normalization),
        epoch_(options.first_epoch),
        index_(options.first_batch),
        order_(data.count),
        buffers_{Batch<T>(data, options.batch_size), Batch<T>(data, options.batch_size)},
        prefetch_(buffers_, [this](Batch<T>& batch) { return fill(batch); }) {}

  std::uint64_t batches_per_epoch() const { return data::batches_per_epoch(data_.count, options_); }

  /// The next batch; it is overwritten after the next call, so a copy to a device must have finished by then.
  Batch<T> const& next() { return *prefetch_.next(); }

 private:
  static BatchOptions const& checked(BatchOptions const& options, Dataset const& data) {
    check(data, "TrainingBatches");
    options.augmentation.check();
    options.mixing.check();
    ATTN_CHECK(options.smoothing >= 0 && options.smoothing < 1,
               "TrainingBatches: give a smoothing of at least 0 and below 1, not ", options.smoothing);
    ATTN_CHECK(options.batch_size > 0 && options.batch_size <= data.count,
               "TrainingBatches: give a batch_size from 1 to the ", data.count, " images, not ", options.batch_size);
    std::uint64_t const batches = data::batches_per_epoch(data.count, options);
    ATTN_CHECK(options.first_batch < batches, "TrainingBatches: start at one of the ", batches,
               " batches of an epoch, not at ", options.first_batch);
    return options;
  }

  /// On the background thread, in plain loops: nothing depends on the threads of an execution space.
  bool fill(Batch<T>& batch) {
    RandomKey const epoch_key = subkey(subkey(options_.key, "epoch"), epoch_);
    RandomKey const image_key = subkey(epoch_key, "augmentation");
    if (!ordered_) shuffle(subkey(epoch_key, "order"), order_);
    ordered_ = true;

    auto const begin = order_.begin() + static_cast<std::ptrdiff_t>(index_ * options_.batch_size);
    auto const end = std::min(options_.batch_size, static_cast<std::size_t>(order_.end() - begin));
    batch.indices.assign(begin, begin + static_cast<std::ptrdiff_t>(end));
    batch.epoch = epoch_;
    batch.index = index_;
    T* images = batch.images().data();
    std::int32_t* const labels = batch.labels().data();
    for (std::size_t b = 0; b < batch.size(); ++b) {
      std::size_t const i = batch.indices[b];
      RandomKey const key = subkey(image_key, i);
      augment_image(data_, i, normalizer_, options_.augmentation, key, images + b * data_.image_size());
      labels[b] = data_.labels[i];
    }
    batch.mix = draw_mix(subkey(subkey(epoch_key, "mix"), index_), options_.mixing, data_.height, data_.width);
    apply_mix(batch.mix, images, batch.size(), data_.channels, data_.height, data_.width);
    fill_targets(labels, batch.size(), static_cast<std::size_t>(data_.classes), options_.smoothing, batch.mix.ratio,
                 batch.targets().data());

    if (++index_ == batches_per_epoch()) {
      index_ = 0;
      ++epoch_;
      ordered_ = false;
    }
    return true;
  }

  Dataset const& data_;
  BatchOptions options_;
  Normalizer<T> normalizer_;
  std::uint64_t epoch_;
  std::uint64_t index_;
  bool ordered_ = false;  // whether `order_` is that of `epoch_`
  std::vector<std::uint32_t> order_;
  std::array<Batch<T>, 2> buffers_;
  Prefetch<Batch<T>> prefetch_;  // last: its thread uses all of the above
};

/// All images of a dataset in order, once, unchanged but for normalization; the last batch may be smaller. The dataset
/// must outlive this. `rewind` starts again, in the same buffers.
template <class T = float>
class EvaluationBatches {
 public:
  EvaluationBatches(Dataset const& data, std::size_t batch_size)
      : data_(data),
        batch_size_(checked(batch_size, data)),
        normalizer_(data.normalization),
        buffers_{Batch<T>(data, batch_size), Batch<T>(data, batch_size)} {
    rewind();
  }

  /// The next batch, overwritten after the next call; nullptr after the last.
  Batch<T> const* next() { return prefetch_->next(); }

  void rewind() {
    prefetch_.reset();
    index_ = 0;
    prefetch_.emplace(buffers_, [this](Batch<T>& batch) { return fill(batch); });
  }

 private:
  static std::size_t checked(std::size_t batch_size, Dataset const& data) {
    check(data, "EvaluationBatches");
    ATTN_CHECK(batch_size > 0, "EvaluationBatches: give a batch_size of at least 1");
    return batch_size;
  }

  bool fill(Batch<T>& batch) {
    std::size_t const begin = index_ * batch_size_;
    if (begin >= data_.count) return false;
    batch.indices.resize(std::min(batch_size_, data_.count - begin));
    batch.index = index_++;
    for (std::size_t b = 0; b < batch.size(); ++b) {
      batch.indices[b] = begin + b;
      normalize_image(data_, begin + b, normalizer_, batch.images().data() + b * data_.image_size());
      batch.labels()(b) = data_.labels[begin + b];
    }
    fill_targets(batch.labels().data(), batch.size(), static_cast<std::size_t>(data_.classes), 0, 1,
                 batch.targets().data());
    return true;
  }

  Dataset const& data_;
  std::size_t batch_size_;
  Normalizer<T> normalizer_;
  std::size_t index_ = 0;
  std::array<Batch<T>, 2> buffers_;
  std::optional<Prefetch<Batch<T>>> prefetch_;
};

}  // namespace attn::data
