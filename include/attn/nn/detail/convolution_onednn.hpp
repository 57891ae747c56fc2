/// Convolutions of floats on hosts by oneDNN.
///
/// The library computes one tile (some images, or some lines of one) on one thread; tiles depend on the sizes alone,
/// so results have the same bits on any number of threads.
#pragma once

#include "attn/core/matrix_functors.hpp"
#include "attn/nn/detail/convolution_direct.hpp"
#include "attn/nn/detail/onednn_plan.hpp"

#if defined(ATTN_HAVE_ONEDNN) && !defined(__NVCC__)
namespace attn::nn::detail {

/// How a convolution is cut: into groups of `images` images, or each image into strips of lines.
struct ConvolutionTiles {
  static constexpr int most_strips = 8;
  Index images = 1, groups = 0;
  int strips = 1;
  struct Strip {
    std::shared_ptr<ConvolutionPlan const> plan;
    Index first_input = 0, first_output = 0;  // lines
  };
  Kokkos::Array<Strip, most_strips> strip;

  Index count() const { return groups * strips; }
  ConvolutionPlan const& plan() const { return *strip[0].plan; }

  ConvolutionTiles(ConvolutionShape const& s, ConvolutionPass pass, bool has_bias) {
    auto const up = [](Index a, Index b) { return (a + b - 1) / b; };
    Index const places = s.sliding.output.area();
    // Weights are read once for each tile, and their gradients added: tiles have some hundred places at least. Of large
    // weights there are fewer tiles: they do not stay in a cache.
    Index const least_tiles = s.weights() > (Index(1) << 20) ? 4 : 8;
    Index const wanted = pass == ConvolutionPass::weight_gradient
                             ? std::clamp(up(384, places), up(s.batch, 8), up(s.batch, 2))
                             : std::max(up(s.batch, 32), std::min(up(384, places), up(s.batch, least_tiles)));
    for (images = wanted; s.batch % images != 0;) --images;
    groups = s.batch / images;
    Window const& w = s.sliding.window;
    whole_ = {pass,     has_bias, images,     s.inputs,  s.outputs, s.groups, s.sliding.input, s.sliding.output,
              w.kernel, w.stride, w.dilation, w.padding, w.padding};
    if (s.batch < 8 && cut(static_cast<int>(std::min({up(8, s.batch), places / 384, Index(most_strips)})))) return;
    strips = 1;
    strip[0] = {convolution_plan(whole_), 0, 0};
  }

 private:
  /// Cuts each image into `count` strips of the lines that are written; false where that cannot be.
  bool cut(int count) {
    if (count < 2) return false;
    bool const by_input = whole_.pass == ConvolutionPass::input_gradient;
    Index const lines = by_input ? whole_.input.height : whole_.output.height, height = (lines + count - 1) / count;
    Index const reach = (whole_.kernel.height - 1) * whole_.dilation.height + 1, stride = whole_.stride.height;
    Index const padding = whole_.before.height;
    strips = static_cast<int>((lines + height - 1) / height);
    for (int i = 0; i < strips; ++i) {
      Index in, in_end, out, out_end;
      if (by_input) {
        in = i * height, in_end = std::min(lines, in + height);
        out = std::max(Index(0), (in + padding - reach + stride) / stride);
        out_end = std::min(whole_.output.height, (in_end - 1 + padding) / stride + 1);
      } else {
        out = i * height, out_end = std::min(lines, out + height);
        in = std::max(Index(0), out * stride - padding);
        in_end = std::min(whole_.input.height, (out_end - 1) * stride - padding + reach);
      }
      ConvolutionTile part = whole_;
      part.batch = 1;
      part.input.height = in_end - in;
      part.output.height = out_end - out;
      part.before.height = in + padding - out * stride;
      part.after.height =
          std::max(Index(0), (part.output.height - 1) * stride + reach - part.input.height - part.before.height);
      Index const room = part.input.height + part.before.height + part.after.height - reach;
      if (part.input.height <= 0 || part.output.height <= 0 || part.before.height < 0 || part.before.height >= reach ||
          room < 0 || room / stride + 1 != part.output.height) {
        return false;
      }
      Strip& to = strip[std::size_t(i)];
      to = {convolution_plan(part), in, out};
      if (!to.plan->is_fast() || !to.plan->packs_like(*strip[0].plan)) return false;
    }
    images = 1;
    groups = whole_.batch * groups;
    return true;
  }

  ConvolutionTile whole_;
};

/// One tile of x, y, and the weight; of gradients of a weight there is one for each tile.
struct RunConvolutionTile {
  ConvolutionShape shape;
  ConvolutionTiles const* tiles;
  float* x;
  float* packed;
  Index packed_stride;
  float* bias;
  float* y;
  void operator()(Index tile) const {
    Index const image = tile / tiles->strips * tiles->images;
    auto const& strip = tiles->strip[std::size_t(tile % tiles->strips)];
    SlidingWindow const& s = shape.sliding;
    float* const from = x + (image * s.input.height + strip.first_input) * s.input.width * shape.inputs;
    float* const to = y + (image * s.output.height + strip.first_output) * s.output.width * shape.outputs;
    strip.plan->run(from, packed + tile * packed_stride, bias, to);
  }
};

/// gradient (outputs, inputs, kernel) += the sum of parts in the library's order, of one block of outputs.
struct AddPackedGradients {
  PackedWeight order;
  float const* parts;
  Index count, size;
  float* gradient;
  Index outputs, inputs;
  Size2 kernel;

  /// How many numbers of an output are collected before they are added: rows of the gradient lie so far apart that
  /// writing them in turn would miss the cache.
  static constexpr Index collected = 256;

  void operator()(Index block) const {
    Index const first = block * order.block, width = std::min(order.block, outputs - first), taps = kernel.area();
    Index const inputs_at_once = collected / taps;
    float rows[PackedWeight::most][collected + 16];  // not a power of two, for the same reason
    for (Index begin = 0; begin < inputs; begin += inputs_at_once) {
      Index const end = std::min(inputs, begin + inputs_at_once);
      for (Index i = begin; i < end; ++i) {
        float const* const input =
            parts + block * order.of_block + i / order.inputs * order.of_inputs + i % order.inputs * order.block;
        for (Index tap = 0; tap < taps; ++tap) {
          float const* const from = input + tap / kernel.width * order.of_row + tap % kernel.width * order.of_column;
          float sums[PackedWeight::most];
          for_lanes<float>(0, order.block, [&](auto lanes, Index l) {
            auto total = lanes.load(from + l);
            for (Index p = 1; p < count; ++p) total += lanes.load(from + p * size + l);
            lanes.store(sums + l, total);
          });
          for (Index o = 0; o < width; ++o) rows[o][(i - begin) * taps + tap] = sums[o];
        }
      }
      for (Index o = 0; o < width; ++o) {
        float* const to = gradient + ((first + o) * inputs + begin) * taps;
        for_lanes<float>(0, (end - begin) * taps, [&](auto lanes, Index l) {
          lanes.store(to + l, lanes.load(to + l) + lanes.load(rows[o] + l));
        });
      }
    }
  }
};

/// One of the three passes; false, and nothing done, where the library has no fast code. One of the arrays is written.
template <class Ctx>
bool convolve_onednn(Ctx& ctx, ConvolutionShape const& s, ConvolutionPass pass, float const* x, float const* weight,
                     float const* bias, float const* y) {
  ConvolutionTiles const tiles(s, pass, bias != nullptr);
  ConvolutionPlan const& plan = tiles.plan();
  if (!plan.is_fast()) return false;
  bool const unpacks = pass == ConvolutionPass::weight_gradient;
  auto const writable = [](float const* p) { return const_cast<float*>(p); };  // the library's handles are not const
  typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
  Index const size = plan.packed_size();
  float* const packed = ctx.template tensor<float>(unpacks ? tiles.count() : Index(1), size).data();
  ctx.exec.fence("attn::Convolution");  // reorders do not run on the instance
  if (!unpacks) plan.reorder(writable(weight), packed);
  for_blocks(ctx.exec, "attn::Convolution::onednn", tiles.count(),
             RunConvolutionTile{s, &tiles, writable(x), packed, unpacks ? size : 0, writable(bias), writable(y)});
  ctx.exec.fence("attn::Convolution");  // the tiles are local
  if (!unpacks) return true;
  PackedWeight const order = plan.packed_order();
  if (order.block > 0 && s.taps() <= AddPackedGradients::collected) {
    for_blocks(ctx.exec, "attn::Convolution::sum", (s.outputs + order.block - 1) / order.block,
               AddPackedGradients{order, packed, tiles.count(), size, writable(weight), s.outputs, s.inputs,
                                  s.sliding.window.kernel});
    return true;
  }
  elementwise<float>(ctx.exec, "attn::Convolution::sum", 1, size,
                     AddParts<float>{packed + size, packed, tiles.count() - 1, size});
  ctx.exec.fence("attn::Convolution::sum");
  plan.reorder(writable(weight), packed);
  return true;
}

}  // namespace attn::nn::detail
#endif
