/// MaskRcnn: a two-stage detector of objects and their pixels, on an XCiT with any activation.
#pragma once

#include "attn/detection/detections.hpp"
#include "attn/detection/detector_losses.hpp"
#include "attn/detection/region_align.hpp"
#include "attn/models/xcit_backbone.hpp"
#include "attn/nn/feature_pyramid.hpp"

#include <span>
#include <string>
#include <tuple>
#include <vector>

namespace attn::models {

/// Sizes and rules of a `MaskRcnn`. The defaults are those of XCiT-S12/16 on COCO.
template <class Activation>
struct MaskRcnnConfig {
  XcitBackboneConfig<Activation> backbone = {};
  Index classes = 80;
  Index width = 256;    ///< of the pyramid and of what reads it
  Index hidden = 1024;  ///< of the box head
  Index mask_depth = 4;
  detection::AnchorShapes anchors = {};
  double finest = 56;  ///< boxes below twice this side are looked up on the finest map
  detection::AnchorOptions anchor_losses = {};
  detection::ProposalOptions train_proposals = {};
  detection::ProposalOptions test_proposals = {.of_map = 1000};
  detection::RegionOptions regions = {};
  detection::DetectionOptions detections = {};
};

/// Images of unlike sizes, each in the corner of its place.
template <class Ctx>
struct DetectionImages {
  nn::ConstTensorOf<Ctx, 4> pixels;  ///< (B, 3, H, W), H and W multiples of 32
  std::vector<nn::Size2> sizes;      ///< height and width of each
};

/// He et al. 2017 with the feature pyramid of Lin et al. 2017 on XCiT, as in mmdetection's published configuration:
/// XCiT's maps, a pyramid of five, proposals from anchors, a box head and a mask head. Parameters have the names of
/// published checkpoints (backbone, neck, rpn_head, roi_head.bbox_head, roi_head.mask_head), so these load unchanged.
/// All decay but the norms of tokens, as there.
template <class A>
class MaskRcnn {
 public:
  using Activation = A;
  using Config = MaskRcnnConfig<A>;
  using Backbone = XcitBackbone<A>;

  MaskRcnn(nn::Builder const& builder, Config const& c)
      : config_(checked(c)),
        backbone_(builder / "backbone", c.backbone),
        neck_(builder / "neck", {.inputs = std::vector<Index>(4, c.backbone.width), .width = c.width}),
        proposal_head_(builder / "rpn_head", {.width = c.width, .shapes = c.anchors.count()}),
        box_align_({.size = box_size, .finest = c.finest}),
        box_head_(builder / "roi_head" / "bbox_head",
                  {.width = c.width, .size = box_size, .hidden = c.hidden, .classes = c.classes}),
        mask_align_({.size = mask_size, .finest = c.finest}),
        mask_head_(builder / "roi_head" / "mask_head",
                   {.width = c.width, .depth = c.mask_depth, .classes = c.classes}) {
    builder.set("*", {.decays = true});
    builder.set("backbone.blocks.*.norm*", {.decays = false});
    for (char const* const head : {"bbox_head.fc_cls.*", "bbox_head.fc_reg.*", "mask_head.conv_logits.*"}) {
      builder.set("roi_head." + std::string(head), {.adapts = nn::ClassRows{}});
    }
  }

  /// A step without its update: adds the gradients of all parameters, and returns the losses. `key` decides what is
  /// sampled. Where `proposals` are given, boxes of each image in its pixels, regions are drawn from these. Waits three
  /// times, for how many anchors, proposals and regions there are.
  template <class Ctx>
  detection::DetectorLosses<Ctx> accumulate_gradients(
      Ctx& ctx, DetectionImages<Ctx> const& images, detection::Truths<typename Ctx::MemorySpace> const& truths,
      RandomKey key, std::span<detection::ConstBoxes<typename Ctx::MemorySpace> const> proposals = {}) const {
    ATTN_CHECK(
        ctx.keeps_tape() && truths.images() == images.pixels.extent(0) &&
            Index(images.sizes.size()) == images.pixels.extent(0),
        "MaskRcnn::accumulate_gradients: switch ctx.training or ctx.keep_tape on, and give the sizes and objects of ",
        images.pixels.extent(0), " images, got ", images.sizes.size(), " and ", truths.images());
    auto [maps, backbone_tape] = backbone_.forward(ctx, images.pixels);
    auto [pyramid, neck_tape] = neck_.forward(ctx, maps);
    auto [scores, proposal_tape] = proposal_head_.forward(ctx, pyramid);
    auto const grid = detection::make_anchor_grid(ctx, pyramid, config_.anchors, images.sizes);
    detection::DetectorLosses<Ctx> losses;
    std::tie(losses.anchor_class, losses.anchor_box) =
        detection::anchor_losses<Ctx>(ctx, scores, grid, truths, subkey(key, 0), config_.anchor_losses);
    std::vector<detection::ConstBoxes<typename Ctx::MemorySpace>> own;
    if (proposals.empty()) {
      own = detection::boxes_of(detection::propose<Ctx>(ctx, scores, grid, config_.train_proposals));
      proposals = own;
    }
    auto const drawn =
        detection::draw_regions(ctx, truths, proposals, config_.classes, subkey(key, 1), config_.regions);
    auto const d_pyramid = learn_boxes(ctx, pyramid, drawn, truths, losses);
    learn_masks(ctx, pyramid, drawn, truths, d_pyramid, losses);
    auto const d_scores =
        proposal_head_.backward(ctx, std::move(proposal_tape),
                                {losses.anchor_class.gradient.template reshape<2>(scores.logits.extents()),
                                 losses.anchor_box.gradient.template reshape<3>(scores.codes.extents())});
    for (std::size_t l = 0; l < d_pyramid.size(); ++l) {
      nn::detail::add_maps(ctx, nn::ConstMapsOf<Ctx>(d_pyramid[l]), d_scores[l]);
    }
    auto const d_maps = neck_.backward(ctx, std::move(neck_tape), d_scores);
    backbone_.backward(ctx, std::move(backbone_tape), d_maps);
    return losses;
  }

  /// What is found in each image, with masks (28, 28) unless `boxes_only`. Waits.
  template <class Ctx>
  std::vector<std::vector<detection::Detection>> detect(Ctx& ctx, DetectionImages<Ctx> const& images,
                                                        bool boxes_only = false) const {
    auto const maps = backbone_.forward(ctx, images.pixels).value;
    auto const pyramid = neck_.forward(ctx, maps).value;
    auto const scores = proposal_head_.forward(ctx, pyramid).value;
    auto const grid = detection::make_anchor_grid(ctx, pyramid, config_.anchors, images.sizes);
    auto const regions = detection::regions_of(ctx, detection::propose<Ctx>(ctx, scores, grid, config_.test_proposals));
    auto const aligned = box_align_.forward(ctx, on_maps<Ctx>(pyramid, regions.boxes, regions.images)).value;
    auto const found = box_head_.forward(ctx, aligned).value;
    auto detections = detection::detect<Ctx>(ctx, regions, {found.logits, found.codes}, grid.sizes, config_.detections);
    if (!boxes_only) add_masks(ctx, pyramid, detections);
    return detections;
  }

  Config const& config() const { return config_; }
  Backbone const& backbone() const { return backbone_; }

 private:
  static constexpr Index box_size = 7, mask_size = 14;
  template <class Ctx>
  using Pyramid = std::vector<nn::MapsOf<Ctx>>;
  static Config const& checked(Config const& c) {
    ATTN_CHECK(c.classes > 0 && c.width > 0 && c.hidden > 0 && c.mask_depth >= 0,
               "MaskRcnn: give at least one class and positive widths, got ", c.classes, ", ", c.width, ", ", c.hidden,
               " and a depth of ", c.mask_depth);
    return c;
  }

  template <class Ctx>
  static detection::RegionsOnMaps<typename Ctx::Scalar, typename Ctx::MemorySpace> on_maps(
      Pyramid<Ctx> const& pyramid, detection::ConstBoxes<typename Ctx::MemorySpace> boxes,
      detection::ConstBoxNumbers<typename Ctx::MemorySpace> images) {
    return {{pyramid.begin(), pyramid.begin() + 4}, boxes, images};
  }

  template <class Ctx>
  using Drawn = detection::DrawnRegions<typename Ctx::MemorySpace>;
  template <class Ctx>
  using Truths = detection::Truths<typename Ctx::MemorySpace>;

  /// The losses of boxes; returns the gradients of the maps.
  template <class Ctx>
  Pyramid<Ctx> learn_boxes(Ctx& ctx, Pyramid<Ctx> const& pyramid, Drawn<Ctx> const& drawn, Truths<Ctx> const& truths,
                           detection::DetectorLosses<Ctx>& losses) const {
    auto [aligned, align_tape] = box_align_.forward(ctx, on_maps<Ctx>(pyramid, drawn.boxes, drawn.sample.images));
    auto [scores, head_tape] = box_head_.forward(ctx, aligned);
    std::tie(losses.box_class, losses.box) =
        detection::box_losses<Ctx>(ctx, scores, drawn, truths, config_.detections.coder);
    auto const d_aligned =
        box_head_.backward(ctx, std::move(head_tape), {losses.box_class.gradient, losses.box.gradient});
    return box_align_.backward(ctx, std::move(align_tape), d_aligned);
  }

  /// The loss of masks; adds to the gradients of the maps.
  template <class Ctx>
  void learn_masks(Ctx& ctx, Pyramid<Ctx> const& pyramid, Drawn<Ctx> const& drawn, Truths<Ctx> const& truths,
                   Pyramid<Ctx> const& d_pyramid, detection::DetectorLosses<Ctx>& losses) const {
    Index const positives = drawn.sample.positives;
    if (positives == 0) return;
    auto [aligned, align_tape] = mask_align_.forward(
        ctx, on_maps<Ctx>(pyramid, drawn.boxes.slice(0, 0, positives), drawn.sample.images.slice(0, 0, positives)));
    auto [logits, head_tape] = mask_head_.forward(ctx, aligned);
    losses.mask = detection::mask_loss<Ctx>(ctx, logits, drawn, truths);
    auto const d_aligned =
        mask_head_.backward(ctx, std::move(head_tape), losses.mask.gradient.template reshape<4>(logits.extents()));
    auto const d_maps = mask_align_.backward(ctx, std::move(align_tape), d_aligned);
    for (std::size_t l = 0; l < d_maps.size(); ++l) {
      nn::detail::add_maps(ctx, nn::ConstMapsOf<Ctx>(d_maps[l]), d_pyramid[l]);
    }
  }

  template <class Ctx>
  void add_masks(Ctx& ctx, Pyramid<Ctx> const& pyramid,
                 std::vector<std::vector<detection::Detection>>& detections) const {
    using Memory = typename Ctx::MemorySpace;
    std::vector<float> corners;
    std::vector<std::int32_t> image_of, label_of;
    for (std::size_t b = 0; b < detections.size(); ++b) {
      for (auto const& found : detections[b]) {
        corners.insert(corners.end(), {found.box.left, found.box.top, found.box.right, found.box.bottom});
        image_of.push_back(std::int32_t(b));
        label_of.push_back(std::int32_t(found.label));
      }
    }
    Index const size = Index(label_of.size()), cells = 4 * mask_size * mask_size;
    if (size == 0) return;
    auto const boxes = ctx.template tensor<float>(size, 4);
    auto const images = ctx.template tensor<std::int32_t>(size), labels = ctx.template tensor<std::int32_t>(size);
    copy_from_host<Memory>(corners, boxes.data());
    copy_from_host<Memory>(image_of, images.data());
    copy_from_host<Memory>(label_of, labels.data());
    auto const aligned = mask_align_.forward(ctx, on_maps<Ctx>(pyramid, boxes, images)).value;
    auto const logits = mask_head_.forward(ctx, aligned).value;
    auto const masks = ctx.template tensor<float>(size * cells);
    detection::detail::for_each(ctx.exec, "attn::MaskRcnn::masks", size * cells,
                                detection::detail::TakeMasks<typename Ctx::Scalar>{logits.data(), labels.data(), cells,
                                                                                   config_.classes, masks.data()});
    auto const numbers = host_copy(masks);
    auto at = numbers.begin();
    for (auto& of_image : detections) {
      for (auto& found : of_image) {
        found.mask.assign(at, at + cells);
        at += cells;
      }
    }
  }

  Config config_;
  Backbone backbone_;
  nn::FeaturePyramid neck_;
  detection::ProposalHead proposal_head_;
  detection::RegionAlign box_align_;
  detection::BoxHead box_head_;
  detection::RegionAlign mask_align_;
  detection::MaskHead mask_head_;
};

}  // namespace attn::models
