/// AnchorGrid: what a detector knows of a batch before it sees a pixel: its maps, their anchors, the sizes of the
/// images.
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/detection/anchors.hpp"
#include "attn/nn/context.hpp"

#include <vector>

namespace attn::detection {

/// Of a batch whose images lie each in the corner of its place.
template <class Memory>
struct AnchorGrid {
  std::vector<PyramidMap> maps;
  AnchorShapes shapes;
  Boxes<Memory> anchors;           ///< (N, 4)
  Tensor<float, 2, Memory> sizes;  ///< (B, 2): height and width of each image
  std::vector<nn::Size2> padded;   ///< of each image: to multiples of the coarsest of the first four strides
};

/// The grid of `maps` (B, H_l, W_l, C), the first of `finest_stride`, each of the next with twice the stride. Waits.
template <class Ctx, class Maps>
AnchorGrid<typename Ctx::MemorySpace> make_anchor_grid(Ctx& ctx, std::vector<Maps> const& maps,
                                                       AnchorShapes const& shapes, std::vector<nn::Size2> const& images,
                                                       Index finest_stride = 4) {
  AnchorGrid<typename Ctx::MemorySpace> grid{.maps = {}, .shapes = shapes, .anchors = {}, .sizes = {}, .padded = {}};
  for (auto const& map : maps) grid.maps.push_back({nn::map_size(map), finest_stride << grid.maps.size()});
  grid.anchors = ctx.template tensor<float>(anchor_count(grid.maps, shapes), 4);
  make_anchors(ctx.exec, grid.maps, shapes, grid.anchors);
  Index const granule = 8 * finest_stride;
  std::vector<float> sizes;
  for (nn::Size2 const& size : images) {
    sizes.insert(sizes.end(), {float(size.height), float(size.width)});
    grid.padded.push_back(
        {(size.height + granule - 1) / granule * granule, (size.width + granule - 1) / granule * granule});
  }
  grid.sizes = ctx.template tensor<float>(Index(images.size()), 2);
  copy_from_host<typename Ctx::MemorySpace>(sizes, grid.sizes.data());
  return grid;
}

}  // namespace attn::detection
