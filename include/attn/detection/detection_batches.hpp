/// Batches of pictures of unlike sizes with their objects, shuffled for training, prepared while steps before run.
#pragma once

#include "attn/data/augmentation.hpp"
#include "attn/data/distributions.hpp"
#include "attn/data/prefetch.hpp"
#include "attn/detection/coco_images.hpp"

#include <memory>
#include <vector>

namespace attn::detection {

/// Pictures put into one tensor, each in the corner of its place, zero around it; on the host.
struct DetectionBatch {
  std::vector<DetectionSample> samples;
  nn::Size2 size;                    ///< of all places: multiples of 32
  std::vector<float> pixels;         ///< (B, 3, height, width)
  std::vector<float> boxes;          ///< (G, 4)
  std::vector<std::int32_t> labels;  ///< (G)
  std::vector<std::uint8_t> masks;   ///< (G, height, width); empty where they are not wanted
  std::vector<Index> first;          ///< (B + 1): which objects are those of each picture

  std::vector<nn::Size2> sizes() const {
    std::vector<nn::Size2> all;
    for (DetectionSample const& sample : samples) all.push_back(sample.plan.size);
    return all;
  }
};

/// Puts the samples of a batch together.
inline void collate(DetectionBatch& batch, bool with_masks = true) {
  batch.size = 32;
  for (DetectionSample const& s : batch.samples) {
    batch.size.height = std::max(batch.size.height, (s.plan.size.height + 31) / 32 * 32);
    batch.size.width = std::max(batch.size.width, (s.plan.size.width + 31) / 32 * 32);
  }
  std::size_t const plane = std::size_t(batch.size.area()), row = std::size_t(batch.size.width);
  batch.pixels.assign(batch.samples.size() * 3 * plane, 0.0f);
  batch.boxes.clear();
  batch.labels.clear();
  batch.masks.clear();
  batch.first = {0};
  float* to = batch.pixels.data();
  for (DetectionSample const& s : batch.samples) {
    auto const height = std::size_t(s.plan.size.height), width = std::size_t(s.plan.size.width);
    for (std::size_t c = 0; c < 3; ++c, to += plane) {
      for (std::size_t y = 0; y < height; ++y) {
        std::copy_n(&s.pixels[(c * height + y) * width], width, to + y * row);
      }
    }
    for (std::size_t g = 0; g < s.boxes.size(); ++g) {
      CornerBox const& b = s.boxes[g];
      batch.boxes.insert(batch.boxes.end(), {b.left, b.top, b.right, b.bottom});
      batch.labels.push_back(s.labels[g]);
      if (!with_masks) continue;
      std::vector<std::uint8_t> const pixels = decode_mask(s.masks[g]);
      std::size_t const begin = batch.masks.size();
      batch.masks.resize(begin + plane, 0);
      for (std::size_t y = 0; y < height; ++y) {
        std::copy_n(&pixels[y * width], width, &batch.masks[begin + y * row]);
      }
    }
    batch.first.push_back(Index(batch.labels.size()));
  }
}

/// How batches are drawn.
struct DetectionBatchOptions {
  std::size_t batch_size = 2;
  RandomKey key = {};
  std::size_t workers = 1;
  std::uint64_t first_batch = 0;  ///< of all epochs: where a resumed run continues
};

/// Endless shuffled epochs. A batch has pictures that are wide, or such that are not, so that little of it is padding;
/// what fills no batch at the end of an epoch is left out. The sequence is a function of the key alone.
template <data::Source S>
class DetectionBatches {
 public:
  DetectionBatches(S const& source, DetectionBatchOptions const& options)
      : source_(source), options_(options), orders_(options.workers), places_(options.workers + 1) {
    ATTN_CHECK(options.batch_size > 0 && options.workers > 0 && options.batch_size <= source.size(),
               "DetectionBatches: give batches of 1 to as many pictures as there are, ", source.size(), ", got ",
               options.batch_size);
    batches_ = batches(source, options.batch_size);
    ATTN_CHECK(batches_ > 0, "DetectionBatches: give batches that wide pictures, or the others, fill, got batches of ",
               options.batch_size, " and ", source.size(), " pictures");
    prefetch_ = std::make_unique<data::Prefetch<DetectionBatch>>(
        places_, options.workers, [this](std::uint64_t number, DetectionBatch& batch, std::size_t worker) {
          fill(options_.first_batch + number, batch, orders_[worker]);
          return true;
        });
  }

  /// Batches of an epoch.
  static std::uint64_t batches(S const& source, std::size_t batch_size) {
    std::size_t wide = 0;
    for (std::size_t i = 0; i < source.size(); ++i) wide += source.is_wide(i) ? 1 : 0;
    return wide / batch_size + (source.size() - wide) / batch_size;
  }

  /// Valid until the next call.
  DetectionBatch& next() { return *prefetch_->next(); }

 private:
  struct Order {
    bool known = false;
    std::uint64_t epoch = 0;
    std::vector<std::size_t> images;  // of all batches of the epoch, one after the other
  };

  void fill(std::uint64_t number, DetectionBatch& batch, Order& order) const {
    std::uint64_t const per_epoch = batches_, epoch = number / per_epoch;
    if (!order.known || order.epoch != epoch) shuffle(epoch, order);
    RandomKey const key = subkey(subkey(options_.key, "pictures"), epoch);
    batch.samples.resize(options_.batch_size);
    for (std::size_t b = 0; b < options_.batch_size; ++b) {
      std::size_t const i = order.images[std::size_t(number % per_epoch) * options_.batch_size + b];
      source_.sample(i, subkey(key, i), batch.samples[b]);
    }
    collate(batch);
  }

  void shuffle(std::uint64_t epoch, Order& order) const {
    RandomKey const key = subkey(subkey(options_.key, "order"), epoch);
    std::vector<std::size_t> all(source_.size());
    data::shuffle(subkey(key, 0), all);
    std::size_t const n = options_.batch_size;
    std::vector<std::size_t> batched;
    for (bool const wide : {true, false}) {
      std::size_t const begin = batched.size();
      for (std::size_t const i : all) {
        if (source_.is_wide(i) == wide) batched.push_back(i);
      }
      batched.resize(begin + (batched.size() - begin) / n * n);
    }
    std::vector<std::size_t> places(batched.size() / n);
    data::shuffle(subkey(key, 1), places);
    order.images.clear();
    for (std::size_t const place : places) {
      order.images.insert(order.images.end(), batched.begin() + std::ptrdiff_t(place * n),
                          batched.begin() + std::ptrdiff_t((place + 1) * n));
    }
    order.known = true;
    order.epoch = epoch;
  }

  S const& source_;
  DetectionBatchOptions options_;
  std::uint64_t batches_ = 0;  // of an epoch
  std::vector<Order> orders_;  // of each worker
  std::vector<DetectionBatch> places_;
  std::unique_ptr<data::Prefetch<DetectionBatch>> prefetch_;  // last: its threads stop before anything else goes
};

}  // namespace attn::detection
