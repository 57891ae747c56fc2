/// Detections: what a detector finds, from the scores of regions.
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/detection/heads.hpp"

#include <vector>

namespace attn::detection {

/// Something that was found in an image of a batch.
struct Detection {
  CornerBox box = {};            ///< in pixels of the batch's image
  Index label = 0;               ///< its class
  float score = 0;               ///< probability of the class
  std::vector<float> mask = {};  ///< (S, S): probability that a cell of the box belongs to the object; may be empty
};

/// What counts as found. The defaults are COCO's.
struct DetectionOptions {
  float least_score = 0.05f;  ///< scores are above this
  float most_overlap = 0.5f;  ///< of two of one class
  Index count = 100;          ///< of an image, at most
  BoxCoder coder = {.deviations = {0.1f, 0.1f, 0.2f, 0.2f}};
};

/// Regions of a batch, image by image: `places[r]` counts the regions of its image.
template <class Memory>
struct Regions {
  ConstBoxes<Memory> boxes;        ///< (R, 4)
  ConstBoxNumbers<Memory> images;  ///< (R)
  ConstBoxNumbers<Memory> places;  ///< (R)
  Index of_image = 0;              ///< places are less than this
};

namespace detail {

/// The regions of proposals, without the room behind them.
struct PutProposals {
  float const* from;  // of one image
  Index image;
  float* boxes;
  std::int32_t *images, *places;
  ATTN_FUNCTION void operator()(Index i) const {
    for (Index k = 0; k < 4; ++k) boxes[4 * i + k] = from[4 * i + k];
    images[i] = std::int32_t(image);
    places[i] = std::int32_t(i);
  }
};

/// The probabilities of a region's classes, and its box in each.
template <class T>
struct ScoreRegion {
  T const* logits;  // (R, classes + 1)
  T const* codes;   // (R, 4 classes)
  float const* regions;
  std::int32_t const* images;
  std::int32_t const* places;
  float const* sizes;  // (B, 2)
  BoxCoder coder;
  Index classes, of_image;
  float* boxes;          // (B, of_image, classes, 4)
  float* scores;         // (B, of_image, classes)
  std::int32_t* labels;  // the same
  ATTN_FUNCTION void operator()(Index r) const {
    T const* const z = logits + r * (classes + 1);
    float largest = float(z[0]), sum = 0;
    for (Index c = 1; c <= classes; ++c) largest = attn::max(largest, float(z[c]));
    for (Index c = 0; c <= classes; ++c) sum += Kokkos::exp(float(z[c]) - largest);
    CornerBox const region = CornerBox::load(regions + 4 * r);
    Index const image = images[r], to = (image * of_image + places[r]) * classes;
    for (Index c = 0; c < classes; ++c) {
      scores[to + c] = Kokkos::exp(float(z[c]) - largest) / sum;
      clipped(coder.decode(region, codes + 4 * (r * classes + c)), sizes[2 * image], sizes[2 * image + 1])
          .store(boxes + 4 * (to + c));
      labels[to + c] = std::int32_t(c);
    }
  }
};

/// sigmoid of the logit of each cell's class.
template <class T>
struct TakeMasks {
  T const* logits;  // (R, cells, classes)
  std::int32_t const* labels;
  Index cells, classes;
  float* masks;
  ATTN_FUNCTION void operator()(Index i) const {
    float const z = float(logits[i * classes + labels[i / cells]]);
    masks[i] = 1.0f / (1.0f + Kokkos::exp(-z));
  }
};

}  // namespace detail

/// The regions of proposals. Waits once, for how many there are.
template <class Ctx>
Regions<typename Ctx::MemorySpace> regions_of(Ctx& ctx, Proposals<typename Ctx::MemorySpace> const& proposals) {
  using Memory = typename Ctx::MemorySpace;
  auto const counts = host_copy(proposals.counts);
  Index const most = proposals.boxes.extent(1);
  Index total = 0, first = 0;
  for (auto const count : counts) total += count;
  auto const boxes = ctx.template tensor<float>(total, 4);
  auto const images = ctx.template tensor<std::int32_t>(total), places = ctx.template tensor<std::int32_t>(total);
  for (std::size_t b = 0; b < counts.size(); first += counts[b++]) {
    detail::for_each(ctx.exec, "attn::regions_of", counts[b],
                     detail::PutProposals{proposals.boxes.data() + Index(b) * most * 4, Index(b),
                                          boxes.data() + 4 * first, images.data() + first, places.data() + first});
  }
  return Regions<Memory>{boxes, images, places, most};
}

/// What is found in each image: for each class, boxes with a score above the least, of which those that overlap a
/// better one are dropped; the best of all classes, first the best. sizes (B, 2): height and width of each image,
/// float. Without masks. Waits.
template <class Ctx>
std::vector<std::vector<Detection>> detect(
    Ctx& ctx, Regions<typename Ctx::MemorySpace> const& regions,
    BoxScores<typename Ctx::Scalar const, typename Ctx::MemorySpace> const& scores,
    Tensor<float const, 2, typename Ctx::MemorySpace> sizes, DetectionOptions const& options = {}) {
  using Memory = typename Ctx::MemorySpace;
  using T = typename Ctx::Scalar;
  Index const images = sizes.extent(0), rows = regions.boxes.extent(0), classes = scores.codes.extent(1) / 4;
  ATTN_CHECK(scores.logits.extents() == (Extents<2>{rows, classes + 1}) && scores.codes.extent(0) == rows,
             "detect: give logits (", rows, ", ", classes + 1, ") and as many codes, got (", scores.logits.extent(0),
             ", ", scores.logits.extent(1), ") and ", scores.codes.extent(0));
  typename Workspace<Memory>::Scope const scope(ctx.workspace);
  Index const candidates = regions.of_image * classes;
  auto const boxes = ctx.template tensor<float>(images, candidates, 4);
  auto const probabilities = ctx.template tensor<float>(images, candidates);
  auto const labels = ctx.template tensor<std::int32_t>(images, candidates);
  Kokkos::deep_copy(ctx.exec, probabilities.view(), -1.0f);
  detail::for_each(
      ctx.exec, "attn::detect", rows,
      detail::ScoreRegion<T>{scores.logits.data(), scores.codes.data(), regions.boxes.data(), regions.images.data(),
                             regions.places.data(), sizes.data(), options.coder, classes, regions.of_image,
                             boxes.data(), probabilities.data(), labels.data()});
  auto const kept = ctx.template tensor<std::int32_t>(images, options.count);
  auto const counts = ctx.template tensor<std::int32_t>(images);
  auto const out = ctx.template tensor<float>(images, options.count, 4);
  nms(ctx.exec, ctx.workspace, NmsInput<Memory>{boxes, probabilities, labels}, kept, counts,
      {.most_overlap = options.most_overlap, .least_score = attn::max(options.least_score, 0.0f)});
  detail::for_each(ctx.exec, "attn::detect::kept", images * options.count,
                   detail::TakeKept{boxes.data(), kept.data(), counts.data(), candidates, options.count, out.data()});
  auto const numbers = host_copy<Memory>(kept.data(), kept.size());
  auto const found_boxes = host_copy<Memory>(out.data(), out.size());
  auto const all_scores = host_copy<Memory>(probabilities.data(), probabilities.size());
  auto const found_counts = host_copy(counts);
  std::vector<std::vector<Detection>> found(static_cast<std::size_t>(images));
  for (std::size_t b = 0; b < found.size(); ++b) {
    for (std::size_t i = 0; i < std::size_t(found_counts[b]); ++i) {
      std::size_t const at = b * std::size_t(options.count) + i, number = std::size_t(numbers[at]);
      found[b].push_back({CornerBox::load(&found_boxes[4 * at]),
                          Index(number) % classes,
                          all_scores[b * std::size_t(candidates) + number],
                          {}});
    }
  }
  return found;
}

}  // namespace attn::detection
