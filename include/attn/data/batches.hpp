/// Batches of images for training, shuffled and augmented, and for evaluation, in order; prepared while the steps
/// before run. The sequence is a function of the key alone: the same for any number of workers, and after a resumption.
#pragma once

#include "attn/core/concepts.hpp"
#include "attn/data/batch_parts.hpp"
#include "attn/data/mix.hpp"
#include "attn/data/prefetch.hpp"
#include "attn/data/source.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
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
  Batch(ImageShape const& shape, std::size_t capacity)
      : images_(uninitialized("batch images"), capacity, shape.channels, shape.height, shape.width),
        labels_(uninitialized("batch labels"), capacity),
        targets_(uninitialized("batch targets"), capacity, static_cast<std::size_t>(shape.classes)) {
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

/// How training batches are drawn, mixed and prepared.
struct BatchOptions {
  std::size_t batch_size = 64;
  RandomKey key = {};
  Augmentation augmentation = {};  // of a `Dataset`; other sources have their own
  Mixing mixing = {};
  double smoothing = 0;           // of the labels
  bool drop_last = true;          // leave out the images that do not fill a batch at the end of an epoch
  std::uint64_t first_epoch = 0;  // where to start: a resumed run continues with the batch after its checkpoint
  std::uint64_t first_batch = 0;
  std::size_t workers = 1;  // threads that prepare batches; as many batches are ahead
  BatchParts parts = {};    // in which batches are read
  std::size_t repeats = 1;  // of each image, one after the other, each time augmented anew (Hoffer et al. 2019)
};

/// Images of an epoch over `count` of them. With repetitions as many, of `count` / repeats images, but rounded down to
/// a multiple of 256 where there are so many: as DeiT's sampler has it.
inline std::size_t images_per_epoch(std::size_t count, BatchOptions const& options) {
  return options.repeats == 1 || count < 256 ? count : count / 256 * 256;
}

/// Steps of an epoch over `count` images.
inline std::uint64_t batches_per_epoch(std::size_t count, BatchOptions const& options) {
  return (images_per_epoch(count, options) + (options.drop_last ? 0 : options.batch_size - 1)) / options.batch_size;
}

namespace detail {

/// Room for one batch in use and one in the hands of each worker.
template <class T>
std::vector<Batch<T>> ring(ImageShape const& shape, std::size_t batch_size, std::size_t workers) {
  std::vector<Batch<T>> places;
  for (std::size_t i = 0; i <= workers; ++i) places.emplace_back(shape, batch_size);
  return places;
}

template <class T>
DatasetImages<T> checked_images(char const* name, Dataset const& data, Augmentation const& augmentation = {}) {
  check(data, name);
  return DatasetImages<T>(data, augmentation);
}

/// Reads the samples `batch.indices`, sample i with the key subkey(key, i), in its repetitions with keys below it.
/// `first`: the place of the first one in its epoch, where each sample stands `repeats` times; the next is `stride`
/// places on.
template <class S, class T>
void read_samples(S const& source, RandomKey key, Batch<T>& batch, std::size_t first = 0, std::size_t repeats = 1,
                  std::size_t stride = 1) {
  std::size_t const size = source.shape().image_size();
  for (std::size_t b = 0; b < batch.size(); ++b) {
    ImageSample<T> sample{.pixels = batch.images().data() + b * size};
    std::size_t const repetition = (first + b * stride) % repeats;
    RandomKey const own = subkey(key, batch.indices[b]);
    source.sample(batch.indices[b], repetition == 0 ? own : subkey(subkey(own, "repetition"), repetition), sample);
    batch.labels()(b) = sample.label;
  }
}

}  // namespace detail

/// Endless shuffled epochs of a dataset, which must outlive this, or of another source of images. Every epoch has its
/// own order, every image of every epoch its own augmentation, every batch its own mixing. Allocates only when it is
/// made.
template <class T = float, ImageSource<T> S = DatasetImages<T>>
class TrainingBatches {
 public:
  TrainingBatches(Dataset const& data, BatchOptions const& options) requires std::same_as<S, DatasetImages<T>>
      : TrainingBatches(detail::checked_images<T>("TrainingBatches", data, options.augmentation), options) {}

  TrainingBatches(S source, BatchOptions const& options)
      : source_(std::move(source)),
        options_(checked(options, source_.size())),
        orders_(options.workers, Shuffled(source_.size())),
        places_(detail::ring<T>(source_.shape(), options.parts.samples(0, options.batch_size), options.workers)),
        prefetch_(places_, options.workers, [this](std::uint64_t number, Batch<T>& batch, std::size_t worker) {
          return fill(number, batch, worker);
        }) {}

  std::uint64_t batches_per_epoch() const { return data::batches_per_epoch(source_.size(), options_); }

  /// The next batch, or of a batch in parts the next part that is read here; one of no images where there are fewer
  /// images than parts. It is overwritten after the next call, so a copy to a device must have finished by then.
  Batch<T> const& next() { return *prefetch_.next(); }

 private:
  static BatchOptions const& checked(BatchOptions const& options, std::size_t count) {
    options.mixing.check();
    options.parts.check("TrainingBatches", options.batch_size);
    ATTN_CHECK(options.smoothing >= 0 && options.smoothing < 1,
               "TrainingBatches: give a smoothing of at least 0 and below 1, not ", options.smoothing);
    ATTN_CHECK(options.batch_size > 0 && options.batch_size <= count,
               "TrainingBatches: give a batch_size from 1 to the ", count, " images, not ", options.batch_size);
    ATTN_CHECK(options.repeats > 0 && options.repeats <= count, "TrainingBatches: give from 1 to ", count,
               " repeats of an image, not ", options.repeats);
    std::size_t const images = images_per_epoch(count, options);
    ATTN_CHECK(!options.drop_last || options.batch_size <= images, "TrainingBatches: give a batch_size of at most the ",
               images, " images of an epoch, not ", options.batch_size);
    ATTN_CHECK(options.workers > 0 && options.workers <= 1024, "TrainingBatches: give from 1 to 1024 workers, not ",
               options.workers);
    std::uint64_t const batches = data::batches_per_epoch(count, options);
    ATTN_CHECK(options.first_batch < batches, "TrainingBatches: start at one of the ", batches,
               " batches of an epoch, not at ", options.first_batch);
    return options;
  }

  /// On a background thread, in plain loops: nothing depends on the threads of an execution space.
  bool fill(std::uint64_t number, Batch<T>& batch, std::size_t worker) {
    BatchParts const& parts = options_.parts;
    std::uint64_t const at = options_.first_batch + parts.batch(number);
    batch.epoch = options_.first_epoch + at / batches_per_epoch();
    batch.index = at % batches_per_epoch();
    RandomKey const epoch_key = subkey(subkey(options_.key, "epoch"), batch.epoch);
    auto const& order = orders_[worker](subkey(epoch_key, "order"));

    std::size_t const begin = batch.index * options_.batch_size, part = parts.part(number), first = begin + part;
    std::size_t const size = std::min(options_.batch_size, images_per_epoch(order.size(), options_) - begin);
    batch.indices.resize(parts.samples(part, size));
    for (std::size_t b = 0; b < batch.size(); ++b) {
      batch.indices[b] = order[(begin + parts.place(part, b)) / options_.repeats];
    }
    detail::read_samples(source_, subkey(epoch_key, "augmentation"), batch, first, options_.repeats, parts.parts);

    ImageShape const shape = source_.shape();
    std::uint64_t const mix = batch.index * parts.parts + part;
    batch.mix = draw_mix(subkey(subkey(epoch_key, "mix"), mix), options_.mixing, shape.height, shape.width);
    apply_mix(batch.mix, batch.images().data(), batch.size(), shape.channels, shape.height, shape.width);
    fill_targets(batch.labels().data(), batch.size(), static_cast<std::size_t>(shape.classes), options_.smoothing,
                 batch.mix.ratio, batch.targets().data());
    return true;
  }

  S source_;
  BatchOptions options_;
  std::vector<Shuffled> orders_;  // of each worker
  std::vector<Batch<T>> places_;
  Prefetch<Batch<T>> prefetch_;  // last: its threads use all of the above
};

template <class S>
TrainingBatches(S, BatchOptions const&) -> TrainingBatches<std::remove_pointer_t<decltype(S::Sample::pixels)>, S>;

/// All images of a dataset or another source in order, once, without random changes; the last batch may be smaller. A
/// dataset must outlive this. `rewind` starts again, in the same buffers. Of several ranks each may read its share: the
/// batches first, first + stride, ...
template <class T = float, ImageSource<T> S = DatasetImages<T>>
class EvaluationBatches {
 public:
  EvaluationBatches(Dataset const& data, std::size_t batch_size,
                    std::size_t workers = 1) requires std::same_as<S, DatasetImages<T>>
      : EvaluationBatches(detail::checked_images<T>("EvaluationBatches", data), batch_size, workers) {}

  EvaluationBatches(S source, std::size_t batch_size, std::size_t workers = 1, std::size_t first = 0,
                    std::size_t stride = 1)
      : source_(std::move(source)),
        batch_size_(batch_size),
        workers_(workers),
        first_(first),
        stride_(stride),
        places_(detail::ring<T>(source_.shape(), batch_size, workers)) {
    ATTN_CHECK(batch_size > 0, "EvaluationBatches: give a batch_size of at least 1");
    rewind();
  }

  /// The next batch, overwritten after the next call; nullptr after the last.
  Batch<T> const* next() { return prefetch_->next(); }

  int classes() const { return source_.shape().classes; }

  void rewind() {
    prefetch_.reset();
    prefetch_.emplace(places_, workers_,
                      [this](std::uint64_t number, Batch<T>& batch, std::size_t) { return fill(number, batch); });
  }

 private:
  bool fill(std::uint64_t number, Batch<T>& batch) {
    number = first_ + number * stride_;
    if (number >= (source_.size() + batch_size_ - 1) / batch_size_) return false;
    std::size_t const begin = number * batch_size_;
    batch.indices.resize(std::min(batch_size_, source_.size() - begin));
    std::iota(batch.indices.begin(), batch.indices.end(), begin);
    batch.index = number;
    detail::read_samples(source_, {}, batch);
    fill_targets(batch.labels().data(), batch.size(), static_cast<std::size_t>(source_.shape().classes), 0, 1,
                 batch.targets().data());
    return true;
  }

  S source_;
  std::size_t batch_size_, workers_, first_, stride_;
  std::vector<Batch<T>> places_;
  std::optional<Prefetch<Batch<T>>> prefetch_;  // last: its threads use all of the above
};

template <class S>
EvaluationBatches(S, std::size_t, std::size_t = 1, std::size_t = 0, std::size_t = 1)
    -> EvaluationBatches<std::remove_pointer_t<decltype(S::Sample::pixels)>, S>;

}  // namespace attn::data
