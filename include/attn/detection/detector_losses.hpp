/// The five losses of a two-stage detector: of anchors which hold something and where it is, of regions what it is,
/// where it really is, and which of its pixels belong to it.
#pragma once

#include "attn/detection/heads.hpp"
#include "attn/detection/mask_pasting.hpp"
#include "attn/detection/region_losses.hpp"
#include "attn/detection/region_sampling.hpp"

#include <array>
#include <utility>

namespace attn::detection {

/// The losses of a step, in the order in which they are usually printed. Reading waits.
template <class Ctx>
struct DetectorLosses {
  RegionLoss<Ctx> anchor_class, anchor_box, box_class, box, mask;

  /// What each adds to the loss.
  std::array<double, 5> values() const {
    return {anchor_class.value(), anchor_box.value(), box_class.value(), box.value(), mask.value()};
  }
};

namespace detail {

/// 1 for what matches an object, 0 for the rest.
template <class T>
struct PutPositive {
  Index positives;
  T* targets;
  ATTN_FUNCTION void operator()(Index i) const { targets[i] = T(i < positives ? 1 : 0); }
};

}  // namespace detail

/// How anchors are learned. The defaults are COCO's.
struct AnchorOptions {
  MatchOptions match = {};
  SampleOptions sample = {};
  BoxCoder coder = {};
};

/// Binary cross-entropy of the logits of sampled anchors, and the absolute error of the codes of those that match an
/// object; both are divided by the number of sampled anchors of the batch. Waits once.
template <class Ctx>
std::pair<RegionLoss<Ctx>, RegionLoss<Ctx>> anchor_losses(
    Ctx& ctx, AnchorScores<typename Ctx::Scalar const, typename Ctx::MemorySpace> const& scores,
    AnchorGrid<typename Ctx::MemorySpace> const& grid, Truths<typename Ctx::MemorySpace> const& truths, RandomKey key,
    AnchorOptions const& options = {}) {
  using T = typename Ctx::Real;
  using Memory = typename Ctx::MemorySpace;
  Index const images = truths.images(), anchors = grid.anchors.extent(0);
  auto const matches = ctx.template tensor<std::int32_t>(images, anchors);
  for (Index b = 0; b < images; ++b) {
    typename Workspace<Memory>::Scope const scope(ctx.workspace);
    auto const usable = ctx.template tensor<std::uint8_t>(anchors);
    mark_usable_anchors(ctx.exec, grid.maps, grid.shapes, grid.padded[std::size_t(b)], usable);
    match_truths(ctx, truths.of(b), grid.anchors, BoxNumbers<Memory>(matches.data() + b * anchors, {anchors}),
                 options.match, usable);
  }
  auto const sample = sample_batch(ctx, Tensor<std::int32_t const, 2, Memory>(matches),
                                   std::vector<Index>(std::size_t(images), anchors), truths.first, key, options.sample);
  Index const size = sample.size(), positives = sample.positives;
  auto const targets = ctx.template tensor<T>(size, 1), codes = ctx.template tensor<T>(positives, 4);
  detail::for_each(ctx.exec, "attn::anchor_losses::targets", size, detail::PutPositive<T>{positives, targets.data()});
  detail::for_each(ctx.exec, "attn::anchor_losses::codes", positives,
                   detail::EncodeMatches<T>{options.coder, grid.anchors.data(), sample.boxes.data(), anchors,
                                            truths.boxes.data(), sample.truths.data(), codes.data()});
  auto classes =
      selected_error<Ctx>(ctx, nn::BinaryCrossEntropy{}, scores.logits.template reshape<2>({images * anchors, 1}),
                          {.size = size, .rows = sample.boxes}, targets, 1.0);
  auto boxes = selected_error<Ctx>(ctx, nn::AbsoluteError{}, scores.codes.template reshape<2>({images * anchors, 4}),
                                   {.size = positives, .count = 4, .rows = sample.boxes}, codes,
                                   4.0 * double(positives) / std::max(1.0, double(size)));
  return {std::move(classes), std::move(boxes)};
}

/// The mean cross-entropy of the classes of regions, and the absolute error of the codes of the true class of those
/// that match an object, divided by the number of all regions.
template <class Ctx>
std::pair<RegionLoss<Ctx>, RegionLoss<Ctx>> box_losses(
    Ctx& ctx, BoxScores<typename Ctx::Scalar const, typename Ctx::MemorySpace> const& scores,
    DrawnRegions<typename Ctx::MemorySpace> const& drawn, Truths<typename Ctx::MemorySpace> const& truths,
    BoxCoder const& coder) {
  using T = typename Ctx::Real;
  Index const size = drawn.sample.size(), positives = drawn.sample.positives;
  auto const codes = ctx.template tensor<T>(positives, 4);
  detail::for_each(ctx.exec, "attn::box_losses::codes", positives,
                   detail::EncodeMatches<T>{coder, drawn.boxes.data(), nullptr, 1, truths.boxes.data(),
                                            drawn.sample.truths.data(), codes.data()});
  auto classes = region_cross_entropy<Ctx>(ctx, scores.logits, drawn.labels);
  auto boxes = selected_error<Ctx>(ctx, nn::AbsoluteError{}, scores.codes,
                                   {.size = positives, .count = 4, .columns = drawn.labels}, codes,
                                   4.0 * double(positives) / std::max(1.0, double(size)));
  return {std::move(classes), std::move(boxes)};
}

/// The mean binary cross-entropy of the pixels of the true class. logits (P, S, S, classes) of the first P regions,
/// which match an object.
template <class Ctx>
RegionLoss<Ctx> mask_loss(Ctx& ctx, nn::ConstMapsOf<Ctx> logits, DrawnRegions<typename Ctx::MemorySpace> const& drawn,
                          Truths<typename Ctx::MemorySpace> const& truths) {
  using T = typename Ctx::Real;
  Index const positives = logits.extent(0), side = logits.extent(1), cells = side * side;
  auto const targets = ctx.template tensor<T>(positives, side, side);
  crop_masks(ctx.exec, truths.masks, drawn.boxes.slice(0, 0, positives), drawn.sample.truths.slice(0, 0, positives),
             targets);
  return selected_error<Ctx>(ctx, nn::BinaryCrossEntropy{}, logits.rows(),
                             {.size = positives * cells, .columns = drawn.labels, .repeat = cells},
                             targets.template reshape<2>({positives * cells, 1}), 1.0);
}

}  // namespace attn::detection
