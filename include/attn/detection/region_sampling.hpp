/// Which boxes of a batch a detector learns from: anchors, or proposals and true boxes, matched and sampled.
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/detection/box_coder.hpp"
#include "attn/detection/sampling.hpp"
#include "attn/nn/context.hpp"

#include <span>
#include <vector>

namespace attn::detection {

/// The objects of a batch: those of image b are number first[b] to first[b + 1] - 1.
template <class Memory>
struct Truths {
  ConstBoxes<Memory> boxes;                          ///< (G, 4), in pixels of the images in the batch
  ConstBoxNumbers<Memory> labels;                    ///< (G): classes
  Tensor<std::uint8_t const, 3, Memory> masks = {};  ///< (G, H, W): pixels of the batch's images, not 0 inside
  std::vector<Index> first;                          ///< (B + 1)

  Index images() const { return Index(first.size()) - 1; }
  /// The boxes of one image.
  ConstBoxes<Memory> of(Index image) const {
    return boxes.slice(0, first[std::size_t(image)], first[std::size_t(image) + 1]);
  }
};

/// What was drawn from each image of a batch: all that match an object, image by image, then all others. Numbers of
/// boxes count through the batch.
template <class Memory>
struct BatchSample {
  BoxNumbers<Memory> boxes;   ///< (S): which box: image x (boxes of an image) + number
  BoxNumbers<Memory> images;  ///< (S): of which image it is
  BoxNumbers<Memory> truths;  ///< (S): which object it matches, counted through the batch; -1 where there is none
  Index positives = 0;        ///< the first so many match an object

  Index size() const { return boxes.extent(0); }
};

namespace detail {

/// One part of what was chosen from an image.
struct PutSample {
  std::int32_t const* chosen;
  std::int32_t const* matches;  // of the image
  Index image, first_box, first_truth;
  bool positive;
  std::int32_t *boxes, *images, *truths;
  ATTN_FUNCTION void operator()(Index i) const {
    boxes[i] = std::int32_t(first_box) + chosen[i];
    images[i] = std::int32_t(image);
    truths[i] = positive ? std::int32_t(first_truth) + matches[chosen[i]] : -1;
  }
};

/// Codes of the objects that boxes match: box i is row numbers[i], or i, of `boxes`, modulo `boxes_of_image`.
template <class T>
struct EncodeMatches {
  BoxCoder coder;
  float const* boxes;
  std::int32_t const* numbers;
  Index boxes_of_image;
  float const* truths;
  std::int32_t const* which;
  T* codes;
  ATTN_FUNCTION void operator()(Index i) const {
    Index const box = numbers != nullptr ? Index(numbers[i]) % boxes_of_image : i;
    coder.encode(CornerBox::load(boxes + 4 * box), CornerBox::load(truths + 4 * Index(which[i])), codes + 4 * i);
  }
};

/// True boxes among the candidates of their image; each matches itself.
struct PutTruth {
  float const* truths;
  float* boxes;
  std::int32_t* matches;
  ATTN_FUNCTION void operator()(Index i) const {
    for (Index k = 0; k < 4; ++k) boxes[4 * i + k] = truths[4 * i + k];
    matches[i] = std::int32_t(i);
  }
};

/// The boxes of a sample, and their classes.
struct PutRegion {
  float const* from;
  std::int32_t const* numbers;
  std::int32_t const* truths;
  std::int32_t const* labels_of_truths;
  std::int32_t nothing;
  float* boxes;
  std::int32_t* labels;
  ATTN_FUNCTION void operator()(Index i) const {
    for (Index k = 0; k < 4; ++k) boxes[4 * i + k] = from[4 * Index(numbers[i]) + k];
    labels[i] = truths[i] < 0 ? nothing : labels_of_truths[truths[i]];
  }
};

}  // namespace detail

/// boxes (N, 4) and the objects (G, 4) of their image -> matches (N); see `match_boxes`. O(N G), and as much memory.
template <class Ctx>
void match_truths(Ctx& ctx, ConstBoxes<typename Ctx::MemorySpace> truths, ConstBoxes<typename Ctx::MemorySpace> boxes,
                  BoxNumbers<typename Ctx::MemorySpace> matches, MatchOptions const& options,
                  Tensor<std::uint8_t const, 1, typename Ctx::MemorySpace> usable = {}) {
  typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
  auto const overlaps = ctx.template tensor<float>(truths.extent(0), boxes.extent(0));
  pairwise_iou(ctx.exec, truths, boxes, overlaps);
  match_boxes(ctx.exec, ctx.workspace, Tensor<float const, 2, typename Ctx::MemorySpace>(overlaps), matches, options,
              usable);
}

/// Draws from the matches (B, N) of each image, of which the first counts[b] are there. Waits once, for how many there
/// are.
template <class Ctx>
BatchSample<typename Ctx::MemorySpace> sample_batch(Ctx& ctx,
                                                    Tensor<std::int32_t const, 2, typename Ctx::MemorySpace> matches,
                                                    std::span<Index const> counts, std::span<Index const> first_truth,
                                                    RandomKey key, SampleOptions const& options) {
  using Memory = typename Ctx::MemorySpace;
  Index const images = matches.extent(0), boxes = matches.extent(1), most = std::min(options.count, boxes);
  ATTN_CHECK(Index(counts.size()) == images && Index(first_truth.size()) >= images && matches.is_contiguous(),
             "sample_batch: give contiguous matches (B, N), and counts and first truths of ", images, " images, got ",
             counts.size(), " and ", first_truth.size());
  auto const all = ctx.template tensor<std::int32_t>(3, images * most);
  typename Workspace<Memory>::Scope const scope(ctx.workspace);
  auto const chosen = ctx.template tensor<std::int32_t>(images, most);
  auto const found = ctx.template tensor<std::int32_t>(images, 2);
  auto const row = [](auto const& matrix, Index b, Index n) {
    return Tensor<std::remove_pointer_t<decltype(matrix.data())>, 1, Memory>(matrix.data() + b * matrix.stride(0), {n});
  };
  for (Index b = 0; b < images; ++b) {
    sample_matches(ctx.exec, ctx.workspace, row(matches, b, counts[std::size_t(b)]), subkey(key, std::uint64_t(b)),
                   row(chosen, b, most), row(found, b, 2), options);
  }
  std::vector<std::int32_t> const n = host_copy<Memory>(found.data(), found.size());
  BatchSample<Memory> sample;
  Index size = 0;
  for (std::size_t i = 0; i < n.size(); ++i) size += n[i];
  sample.boxes = row(all, 0, size);
  sample.images = row(all, 1, size);
  sample.truths = row(all, 2, size);
  Index at = 0;
  for (int part = 0; part < 2; ++part) {
    for (Index b = 0; b < images; ++b) {
      Index const before = part == 0 ? 0 : n[std::size_t(2 * b)], count = n[std::size_t(2 * b + part)];
      detail::for_each(ctx.exec, "attn::sample_batch", count,
                       detail::PutSample{chosen.data() + b * most + before, matches.data() + b * boxes, b, b * boxes,
                                         first_truth[std::size_t(b)], part == 0, sample.boxes.data() + at,
                                         sample.images.data() + at, sample.truths.data() + at});
      at += count;
    }
    if (part == 0) sample.positives = at;
  }
  return sample;
}

/// What the heads of a detector learn from: first all that match an object.
template <class Memory>
struct DrawnRegions {
  Boxes<Memory> boxes;        ///< (R, 4)
  BoxNumbers<Memory> labels;  ///< (R): the class, or the number of classes where nothing is matched
  BatchSample<Memory> sample;
};

/// How regions are drawn. The defaults are COCO's.
struct RegionOptions {
  MatchOptions match = {.positive = 0.5f, .negative = 0.5f, .least_low_quality = 0.5f};
  SampleOptions sample = {.count = 512, .most_positive = 0.25f};
};

/// Draws from the proposals of each image and its true boxes, which match themselves. Waits once.
template <class Ctx>
DrawnRegions<typename Ctx::MemorySpace> draw_regions(Ctx& ctx, Truths<typename Ctx::MemorySpace> const& truths,
                                                     std::span<ConstBoxes<typename Ctx::MemorySpace> const> proposals,
                                                     Index classes, RandomKey key, RegionOptions const& options = {}) {
  using Memory = typename Ctx::MemorySpace;
  ATTN_CHECK(Index(proposals.size()) == truths.images() && truths.images() > 0, "draw_regions: give the proposals of ",
             truths.images(), " images, at least one, got ", proposals.size());
  std::vector<Index> counts;
  Index most = 1;
  for (Index b = 0; b < truths.images(); ++b) {
    counts.push_back(truths.of(b).extent(0) + proposals[std::size_t(b)].extent(0));
    most = std::max(most, counts.back());
  }
  auto const boxes = ctx.template tensor<float>(truths.images() * most, 4);
  auto const matches = ctx.template tensor<std::int32_t>(truths.images(), most);
  for (Index b = 0; b < truths.images(); ++b) {
    auto const of_image = truths.of(b);
    auto const& proposed = proposals[std::size_t(b)];
    Index const objects = of_image.extent(0), more = proposed.extent(0);
    float* const to = boxes.data() + 4 * b * most;
    std::int32_t* const match_to = matches.data() + b * most;
    detail::for_each(ctx.exec, "attn::draw_regions::truths", objects, detail::PutTruth{of_image.data(), to, match_to});
    if (more == 0) continue;
    Kokkos::deep_copy(ctx.exec, Tensor<float, 1, Memory>(to + 4 * objects, {4 * more}).view(),
                      Tensor<float const, 1, Memory>(proposed.data(), {4 * more}).view());
    match_truths(ctx, of_image, proposed, BoxNumbers<Memory>(match_to + objects, {more}), options.match);
  }
  auto const sample =
      sample_batch(ctx, Tensor<std::int32_t const, 2, Memory>(matches), counts, truths.first, key, options.sample);
  DrawnRegions<Memory> const drawn{ctx.template tensor<float>(sample.size(), 4),
                                   ctx.template tensor<std::int32_t>(sample.size()), sample};
  detail::for_each(ctx.exec, "attn::draw_regions", sample.size(),
                   detail::PutRegion{boxes.data(), sample.boxes.data(), sample.truths.data(), truths.labels.data(),
                                     std::int32_t(classes), drawn.boxes.data(), drawn.labels.data()});
  return drawn;
}

}  // namespace attn::detection
