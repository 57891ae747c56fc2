/// RegionAlign: what lies in boxes, from feature maps, on grids of one size (RoIAlign; He et al. 2017).
#pragma once

#include "attn/core/rows.hpp"
#include "attn/detection/corner_boxes.hpp"
#include "attn/detection/detail/region_plan.hpp"
#include "attn/linalg/convert.hpp"
#include "attn/nn/feature_maps.hpp"

#include <vector>

namespace attn::detection {

/// Maps of a pyramid (B, H_l, W_l, C), and boxes of their images: what `RegionAlign` takes. The maps are
/// differentiated; boxes are given.
template <class T, class Memory>
struct RegionsOnMaps {
  std::vector<Tensor<T const, 4, Memory>> maps;
  ConstBoxes<Memory> boxes;        ///< (R, 4), in pixels of the images
  ConstBoxNumbers<Memory> images;  ///< (R): to which image of the batch each belongs
  static constexpr auto tensors = std::tuple(&RegionsOnMaps::maps, &RegionsOnMaps::boxes, &RegionsOnMaps::images);
};

namespace detail {

/// y_rb = the mean over the samples of bin b of the map, interpolated. Interpolation is the product of that of rows and
/// that of columns, and so is the mean: each pixel is read once for a bin, with the sum of its weights.
template <class T>
struct AlignRegions {
  using S = AccumulatorOf<T>;
  static constexpr Index chunk = 8;
  PyramidOf<T const> maps;
  RegionPlan const* plans;
  Index bins;  // along each side
  T* y;

  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index i) const {
    using Value = typename Row::Value;
    Index const bin = i % (bins * bins), channels = maps.channels;
    RegionPlan const& plan = plans[i / (bins * bins)];
    T* const out = y + i * channels;
    BinPixels const down = plan.rows.pixels(bin / bins), across = plan.columns.pixels(bin % bins);
    if (down.begin >= down.end || across.begin >= across.end) {
      row.for_columns(channels, [&](auto lanes, Index c) { lanes.store(out + c, row.value(S(0))); });
      return;
    }
    PyramidMapOf<T const> const& map = maps.map[std::size_t(plan.level)];
    T const* const image = map.data + plan.image * map.height * map.width * channels;
    for (Index top = down.begin; top < down.end; top += chunk) {
      for (Index left = across.begin; left < across.end; left += chunk) {
        bool const is_first = top == down.begin && left == across.begin;
        Index const height = down.end - top < chunk ? down.end - top : chunk;
        Index const width = across.end - left < chunk ? across.end - left : chunk;
        S of_row[chunk], of_column[chunk];
        for (Index v = 0; v < height; ++v) of_row[v] = S(plan.rows.weight(bin / bins, top + v));
        for (Index u = 0; u < width; ++u) of_column[u] = S(plan.columns.weight(bin % bins, left + u));
        T const* const corner = image + (top * map.width + left) * channels;
        Index const line = map.width * channels;
        row.for_columns(channels, [&](auto lanes, Index c) {
          Value sum = is_first ? row.value(S(0)) : lanes.load(out + c);
          for (Index v = 0; v < height; ++v) {
            Value of_line(S(0));
            for (Index u = 0; u < width; ++u) {
              of_line += Value(of_column[u]) * lanes.load(corner + v * line + u * channels + c);
            }
            sum += Value(of_row[v]) * of_line;
          }
          lanes.store(out + c, sum);
        });
      }
    }
  }
};

/// forward: y_rb += w_bp x_p; hence d_x_p = sum over r and b of w_bp d_y_rb. A row of a map adds up the regions that
/// reach it, in their order: no two threads add to one number. Sums are those of `AccumulatorOf<T>`, since many regions
/// may reach a pixel.
template <class T>
struct AlignRegionsBackward {
  using S = AccumulatorOf<T>;
  PyramidOf<S> maps;
  RegionPlan const* plans;
  Index regions, bins, images;
  T const* d_y;

  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index i) const {
    std::int32_t level = 0;
    while (i >= images * maps.map[std::size_t(level)].height) i -= images * maps.map[std::size_t(level++)].height;
    PyramidMapOf<S> const& map = maps.map[std::size_t(level)];
    Index const channels = maps.channels, image = i / map.height, line = i % map.height;
    S* const to = map.data + i * map.width * channels;
    for (Index x = 0; x < map.width; ++x) {
      row.for_columns(channels, [&](auto lanes, Index c) { lanes.store(to + x * channels + c, row.value(S(0))); });
    }
    for (Index r = 0; r < regions; ++r) {
      RegionPlan const& plan = plans[r];
      if (plan.level != level || plan.image != image || line < plan.first_row || line >= plan.end_row) continue;
      for (Index b = 0; b < bins; ++b) {
        S const of_row = S(plan.rows.weight(b, line));
        if (of_row != S(0)) add(row, plan, of_row, d_y + (r * bins + b) * bins * channels, to);
      }
    }
  }

 private:
  /// One line of bins to one row of the map.
  template <class Row>
  ATTN_FUNCTION void add(Row const& row, RegionPlan const& plan, S of_row, T const* d_bins, S* to) const {
    using Value = typename Row::Value;
    Index const channels = maps.channels;
    for (Index b = 0; b < bins; ++b) {
      BinPixels const across = plan.columns.pixels(b);
      for (Index x = across.begin; x < across.end; ++x) {
        Value const weight = row.value(of_row * S(plan.columns.weight(b, x)));
        row.for_columns(channels, [&](auto lanes, Index c) {
          S* const at = to + x * channels + c;
          lanes.store(at, lanes.load(at) + weight * lanes.load(d_bins + b * channels + c));
        });
      }
    }
  }
};

}  // namespace detail

/// A module: boxes on a pyramid of maps -> y (R, size, size, C). A box is cut into size x size bins; a bin is the mean
/// of samples, ceil(height of a bin) x ceil(width of a bin) of them, in pixels of the map, each interpolated between
/// four pixels, whose centres lie at halves ("aligned", with an adaptive ratio). A box of side s = sqrt(width height)
/// is looked up on level floor(log2(s / finest + 1e-6)), 0 at least and the last at most (Lin et al. 2017).
///
/// The gradient of the maps is summed in the order of the boxes, that of narrow maps in fp32; boxes have none.
class RegionAlign {
 public:
  struct Config {
    Index size = 7;                               ///< bins along each side
    std::vector<Index> strides = {4, 8, 16, 32};  ///< of the maps, in pixels of the images
    double finest = 56;                           ///< below twice this side, boxes are looked up on the first map
  };

  template <class Memory>
  struct Tape {
    std::vector<Extents<4>> maps;
    Tensor<detail::RegionPlan const, 1, Memory> plans = {};
  };

  explicit RegionAlign(Config config) : config_(std::move(config)) {
    ATTN_CHECK(config_.size > 0 && !config_.strides.empty() && config_.strides.size() <= detail::most_maps &&
                   config_.finest > 0,
               "RegionAlign: choose a positive size and side, and 1 to ", detail::most_maps, " strides, got ",
               config_.size, ", ", config_.finest, " and ", config_.strides.size());
  }

  template <class Ctx>
  using Input = RegionsOnMaps<typename Ctx::Scalar, typename Ctx::MemorySpace>;

  template <class Ctx>
  nn::Forward<nn::MapsOf<Ctx>, Tape<typename Ctx::MemorySpace>> forward(Ctx& ctx, Input<Ctx> const& in) const {
    using T = typename Ctx::Scalar;
    check("RegionAlign::forward", in);
    Index const regions = in.boxes.extent(0), channels = in.maps[0].extent(3);
    auto const y = ctx.tensor(regions, config_.size, config_.size, channels);
    Tape<typename Ctx::MemorySpace> tape;
    typename Ctx::Scratch const scratch(ctx);
    auto const plans = ctx.template tensor<detail::RegionPlan>(regions);
    auto const maps = detail::pyramid_of<T const>(in.maps, config_.strides);
    detail::for_each(ctx.exec, "attn::RegionAlign::plan", regions,
                     detail::PlanRegions<T const>{maps, in.boxes.data(), in.images.data(), in.maps[0].extent(0),
                                                  config_.size, float(config_.finest), plans.data()});
    for_rows<T>(ctx.exec, "attn::RegionAlign", regions * config_.size * config_.size, 4 * channels,
                detail::AlignRegions<T>{maps, plans.data(), config_.size, y.data()});
    if (ctx.keeps_tape()) {
      for (auto const& map : in.maps) tape.maps.push_back(map.extents());
      tape.plans = plans;
    }
    return {y, std::move(tape)};
  }

  /// Returns the gradients of the maps.
  template <class Ctx>
  std::vector<nn::MapsOf<Ctx>> backward(Ctx& ctx, Tape<typename Ctx::MemorySpace>&& tape,
                                        nn::ConstMapsOf<Ctx> d_y) const {
    using T = typename Ctx::Scalar;
    ATTN_CHECK(!tape.maps.empty(),
               "RegionAlign::backward: run forward with ctx.training or ctx.keep_tape switched on, "
               "and use each tape once");
    Index const regions = tape.plans.extent(0), channels = tape.maps[0][3], images = tape.maps[0][0];
    ATTN_CHECK(d_y.extents() == (Extents<4>{regions, config_.size, config_.size, channels}) && d_y.is_contiguous(),
               "RegionAlign::backward: give d_y the shape of y");
    using S = AccumulatorOf<T>;
    std::vector<nn::MapsOf<Ctx>> d_maps;
    for (auto const& extents : tape.maps) d_maps.push_back(ctx.tensor(extents));
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const sums = sums_for<S>(ctx, d_maps);
    Index rows = 0, elements = 0;
    for (auto const& map : sums) {
      rows += map.extent(0) * map.extent(1);
      elements += map.size();
    }
    detail::AlignRegionsBackward<T> const kernel{
        detail::pyramid_of<S>(sums, config_.strides), tape.plans.data(), regions, config_.size, images, d_y.data()};
    Index const columns = std::max(Index(1), 16 * elements / std::max(Index(1), rows));  // a row is much work
    for_rows<T>(ctx.exec, "attn::RegionAlign::backward", rows,
                HostExecutionSpace<typename Ctx::Space> ? columns : channels, kernel);
    if constexpr (!std::same_as<S, T>) {
      for (std::size_t l = 0; l < sums.size(); ++l) linalg::convert(ctx.exec, sums[l].rows(), d_maps[l].rows());
    }
    tape = {};
    return d_maps;
  }

  Config const& config() const { return config_; }

 private:
  /// Where the gradients of the maps are summed: there, or where they are narrow, in wider memory.
  template <class S, class Ctx>
  static std::vector<Tensor<S, 4, typename Ctx::MemorySpace>> sums_for(Ctx& ctx,
                                                                       std::vector<nn::MapsOf<Ctx>> const& d_maps) {
    if constexpr (std::same_as<S, typename Ctx::Scalar>) {
      return d_maps;
    } else {
      std::vector<Tensor<S, 4, typename Ctx::MemorySpace>> sums;
      for (auto const& map : d_maps) sums.push_back(ctx.template tensor<S>(map.extents()));
      return sums;
    }
  }

  template <class In>
  void check(char const* function, In const& in) const {
    ATTN_CHECK(in.maps.size() == config_.strides.size(), function, ": give ", config_.strides.size(), " maps, got ",
               in.maps.size());
    for (auto const& map : in.maps) {
      ATTN_CHECK(map.is_contiguous() && map.extent(0) == in.maps[0].extent(0) &&
                     map.extent(3) == in.maps[0].extent(3) && map.extent(1) > 0 && map.extent(2) > 0,
                 function, ": give contiguous maps (B, H, W, C) with B and C in common, got (", map.extent(0), ", ",
                 map.extent(1), ", ", map.extent(2), ", ", map.extent(3), ")");
    }
    detail::check_boxes(function, in.boxes);
    ATTN_CHECK(in.images.extent(0) == in.boxes.extent(0), function, ": say of each of ", in.boxes.extent(0),
               " boxes to which image it belongs, got ", in.images.extent(0));
  }

  Config config_;
};

}  // namespace attn::detection
