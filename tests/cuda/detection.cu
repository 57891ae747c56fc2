// The parts of a detector, forward and backward.
#include "attn/detection/detections.hpp"
#include "attn/detection/detector_losses.hpp"
#include "attn/detection/region_align.hpp"
#include "attn/nn/feature_pyramid.hpp"

namespace attn_cuda {

double detector(attn::nn::Context<Kokkos::Cuda>& ctx, std::vector<attn::Tensor<float const, 4, Kokkos::CudaSpace>> maps,
                attn::detection::Truths<Kokkos::CudaSpace> const& truths) {
  using namespace attn::detection;
  using Ctx = attn::nn::Context<Kokkos::Cuda>;
  using Memory = Kokkos::CudaSpace;
  attn::nn::FeaturePyramid const neck(ctx / "neck", {.inputs = {16, 16, 16, 16}, .width = 16});
  ProposalHead const proposal_head(ctx / "rpn", {.width = 16});
  BoxHead const box_head(ctx / "box", {.width = 16, .hidden = 32, .classes = 3});
  MaskHead const mask_head(ctx / "mask", {.width = 16, .depth = 1, .classes = 3});
  RegionAlign const align({});

  auto [pyramid, neck_tape] = neck.forward(ctx, maps);
  auto [scores, proposal_tape] = proposal_head.forward(ctx, pyramid);
  auto const grid = make_anchor_grid(ctx, pyramid, {}, {{64, 64}, {50, 60}});
  auto const [anchor_class, anchor_box] = anchor_losses<Ctx>(ctx, scores, grid, truths, {});
  auto const proposals = propose<Ctx>(ctx, scores, grid);
  auto const own = boxes_of(proposals);
  auto const drawn = draw_regions<Ctx>(ctx, truths, own, 3, {});
  RegionsOnMaps<float, Memory> const in{{pyramid.begin(), pyramid.begin() + 4}, drawn.boxes, drawn.sample.images};
  auto [aligned, align_tape] = align.forward(ctx, in);
  auto [found, box_tape] = box_head.forward(ctx, aligned);
  auto const [box_class, box] = box_losses<Ctx>(ctx, found, drawn, truths, BoxCoder{});
  auto [logits, mask_tape] = mask_head.forward(ctx, aligned);
  auto const mask = mask_loss<Ctx>(ctx, logits, drawn, truths);
  auto const d_aligned = box_head.backward(ctx, std::move(box_tape), {box_class.gradient, box.gradient});
  mask_head.backward(ctx, std::move(mask_tape), mask.gradient.reshape<4>(logits.extents()));
  auto const d_pyramid = align.backward(ctx, std::move(align_tape), d_aligned);
  neck.backward(ctx, std::move(neck_tape), d_pyramid);
  proposal_head.backward(ctx, std::move(proposal_tape),
                         {anchor_class.gradient.reshape<2>(scores.logits.extents()),
                          anchor_box.gradient.reshape<3>(scores.codes.extents())});
  auto const regions = regions_of(ctx, proposals);
  auto const all = detect<Ctx>(ctx, regions, {found.logits, found.codes}, grid.sizes);
  auto const pixels = ctx.tensor<std::uint8_t>(1, 64, 64);
  paste_masks(ctx.exec, attn::Tensor<float const, 3, Memory>(ctx.tensor<float>(1, 28, 28)), ctx.tensor<float>(1, 4),
              pixels);
  return double(all.size());
}

}  // namespace attn_cuda
