/// Where the bins of a box lie on the map of a pyramid: rows and columns apart from each other, with their weights.
#pragma once

#include "attn/core/tensor.hpp"
#include "attn/detection/corner_boxes.hpp"

#include <vector>

namespace attn::detection::detail {

inline constexpr std::size_t most_maps = 8;

/// Maps (B, height, width, C) of a pyramid.
template <class T>
struct PyramidMapOf {
  T* data;
  Index height, width;
  float scale;  // pixels of the map in one of the image
};
template <class T>
struct PyramidOf {
  Kokkos::Array<PyramidMapOf<T>, most_maps> map;
  std::int32_t count;
  Index channels;
};

template <class T, class Maps>
PyramidOf<T> pyramid_of(Maps const& maps, std::vector<Index> const& strides) {
  PyramidOf<T> all{{}, std::int32_t(maps.size()), maps[0].extent(3)};
  for (std::size_t l = 0; l < maps.size(); ++l) {
    all.map[l] = {maps[l].data(), maps[l].extent(1), maps[l].extent(2), 1.0f / float(strides[l])};
  }
  return all;
}

/// Pixels along one side: begin <= i < end.
struct BinPixels {
  Index begin, end;
};

/// The bins of a box along one side of a map of `size` pixels: `samples` in each.
struct BinAxis {
  static constexpr int most_samples = 4096;
  float start, bin;
  int samples;
  Index size;

  ATTN_FUNCTION BinAxis(float first, float last, Index bins, Index map_size) : start(first - 0.5f), size(map_size) {
    float const length = last - first;
    bin = length / float(bins);
    samples = bin > 0 ? int(attn::min(Kokkos::ceil(bin), float(most_samples))) : 0;
  }

  /// Where a sample lies, pixels being whole numbers.
  ATTN_FUNCTION float sample(Index b, int i) const {
    return start + float(b) * bin + (float(i) + 0.5f) * bin / float(samples);
  }
  /// The pixels that bin `b` reads.
  ATTN_FUNCTION BinPixels pixels(Index b) const {
    float const first = sample(b, 0), last = sample(b, samples - 1);
    if (samples == 0 || !(last >= -1.0f) || !(first <= float(size))) return {0, 0};
    Index const end = Index(inside(last)) + 2;
    return {Index(inside(first)), end < size ? end : size};
  }
  /// How much of bin `b` pixel `j` is. Samples more than a pixel outside of the map are zero, others outside of its
  /// outermost centres are as these.
  ATTN_FUNCTION float weight(Index b, Index j) const {
    float sum = 0;
    for (int i = 0; i < samples; ++i) {
      float const at = sample(b, i), near = 1.0f - Kokkos::abs(inside(at) - float(j));
      sum += at >= -1.0f && at <= float(size) && near > 0 ? near : 0.0f;
    }
    return sum / float(samples > 0 ? samples : 1);
  }

 private:
  ATTN_FUNCTION float inside(float at) const {
    float const last = float(size - 1);
    return at < 0 ? 0.0f : at > last ? last : at;
  }
};

/// A box: its map, and its bins there.
struct RegionPlan {
  BinAxis rows, columns;
  std::int32_t level, image;
  Index first_row, end_row;  // of the map, from the first bin's to the last one's
};

template <class T>
struct PlanRegions {
  PyramidOf<T> maps;
  float const* boxes;
  std::int32_t const* images;
  Index batch, bins;
  float finest;
  RegionPlan* plans;

  ATTN_FUNCTION void operator()(Index r) const {
    CornerBox const box = CornerBox::load(boxes + 4 * r);
    std::int32_t level = 0;
    if (maps.count > 1) {
      float const side = Kokkos::sqrt(box.area());
      float const wanted = Kokkos::floor(Kokkos::log2(side / finest + 1e-6f));
      level = wanted > 0 ? (wanted < float(maps.count) ? std::int32_t(wanted) : maps.count - 1) : 0;
    }
    PyramidMapOf<T> const& map = maps.map[std::size_t(level)];
    RegionPlan plan{BinAxis(box.top * map.scale, box.bottom * map.scale, bins, map.height),
                    BinAxis(box.left * map.scale, box.right * map.scale, bins, map.width),
                    level,
                    images[r],
                    0,
                    0};
    if (plan.image < 0 || plan.image >= batch) plan.image = 0, plan.rows.samples = 0;  // of no image: zeros
    for (Index b = 0; b < bins; ++b) {
      BinPixels const pixels = plan.rows.pixels(b);
      if (pixels.begin >= pixels.end) continue;
      if (plan.end_row == 0) plan.first_row = pixels.begin;
      plan.end_row = pixels.end;
    }
    plans[r] = plan;
  }
};

}  // namespace attn::detection::detail
