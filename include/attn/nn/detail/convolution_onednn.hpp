/// Convolutions of floats on hosts by oneDNN.
///
/// The library computes one tile (some images, or some lines of one) on one thread; tiles depend on the sizes alone,
/// so results have the same bits on any number of threads. What it prepares for a tile (machine code, the order of the
/// weights) is kept for all later calls of the same sizes.
#pragma once

#include "attn/core/matrix_functors.hpp"
#include "attn/linalg/detail/gemm_tile.hpp"
#include "attn/linalg/detail/host_scratch.hpp"
#include "attn/nn/detail/convolution_direct.hpp"

#if defined(ATTN_HAVE_ONEDNN)
#include <dnnl.hpp>

#include <map>
#include <mutex>
#include <string_view>

namespace attn::nn::detail {

/// What the library computes: y from x, the gradient of x, or that of the weight.
enum class ConvolutionPass { forward, input_gradient, weight_gradient };

/// A tile of a convolution. Padding before the first and after the last line may differ: tiles have inner borders.
struct ConvolutionTile {
  ConvolutionPass pass;
  bool has_bias;
  Index batch, inputs, outputs, groups;
  Size2 input, output;
  Size2 kernel, stride, dilation, before, after;

  auto operator<=>(ConvolutionTile const&) const = default;
};

inline dnnl::engine const& onednn_engine() {
  static dnnl::engine const engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// Where number (output, input, row, column) of a weight lies in the library's order, where that has blocks of outputs,
/// these of `block` numbers in a row: output / block * of_block + input / inputs * of_inputs + input % inputs * block +
/// row * of_row + column * of_column + output % block.
struct PackedWeight {
  static constexpr Index most = 16;
  Index block = 0;  // 0: the order is another one
  Index inputs = 1;
  Index of_block = 0, of_inputs = 0, of_row = 0, of_column = 0;

  PackedWeight() = default;
  explicit PackedWeight(dnnl::memory::desc const& d) {
#if DNNL_VERSION_MAJOR >= 3
    if (d.get_format_kind() != dnnl::memory::format_kind::blocked) return;
    auto const strides = d.get_strides(), sizes = d.get_inner_blks(), dimensions = d.get_inner_idxs();
    int const dims = d.get_ndims(), blocks = d.get_inner_nblks();
#else
    if (d.data.format_kind != dnnl_blocked) return;
    auto const& blocking = d.data.format_desc.blocking;
    auto const* const strides = blocking.strides;
    auto const* const sizes = blocking.inner_blks;
    auto const* const dimensions = blocking.inner_idxs;
    int const dims = d.data.ndims, blocks = blocking.inner_nblks;
#endif
    if (dims != 4 || blocks < 1 || blocks > 2) return;
    if (dimensions[blocks - 1] != 0 || sizes[blocks - 1] > most || (blocks == 2 && dimensions[0] != 1)) return;
    block = sizes[blocks - 1];
    inputs = blocks == 2 ? Index(sizes[0]) : Index(1);
    of_block = strides[0], of_inputs = strides[1], of_row = strides[2], of_column = strides[3];
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

/// What the library prepared for one kind of tile.
class ConvolutionPlan {
  using Memory = dnnl::memory;
  using Dims = Memory::dims;

 public:
  explicit ConvolutionPlan(ConvolutionTile const& t) : pass_(t.pass) {
    linalg::detail::OneThread const one;
    auto const of = [](Dims const& dims, Memory::format_tag tag) {
      return Memory::desc(dims, Memory::data_type::f32, tag);
    };
    using Tag = Memory::format_tag;
    x_ = of({t.batch, t.inputs, t.input.height, t.input.width}, Tag::nhwc);
    y_ = of({t.batch, t.outputs, t.output.height, t.output.width}, Tag::nhwc);
    bias_ = t.has_bias ? of({t.outputs}, Tag::x) : Memory::desc();
    Dims const filters =
        t.groups == 1 ? Dims{t.outputs, t.inputs, t.kernel.height, t.kernel.width}
                      : Dims{t.groups, t.outputs / t.groups, t.inputs / t.groups, t.kernel.height, t.kernel.width};
    weight_ = of(filters, t.groups == 1 ? Tag::oihw : Tag::goihw);
    any_ = of(filters, Tag::any);
    try {
      prepare(t);
    } catch (dnnl::error const&) {
      fast_ = false;  // it has no code for these sizes
    }
  }

  /// Whether the library has more than its reference for these sizes.
  bool is_fast() const { return fast_; }
  /// Numbers of a weight in the order in which the library reads or writes it.
  Index packed_size() const { return static_cast<Index>(packed_.get_size() / sizeof(float)); }
  PackedWeight packed_order() const { return PackedWeight(packed_); }
  bool packs_like(ConvolutionPlan const& other) const { return packed_ == other.packed_; }

  /// Brings a weight into the library's order; after a pass over weights, adds one in that order to `plain`.
  void reorder(float* plain, float* packed) const {
    bool const unpacks = pass_ == ConvolutionPass::weight_gradient;
    auto const a = memory(weight_, plain), b = memory(packed_, packed);
    execute(reorder_, {{DNNL_ARG_FROM, unpacks ? b : a}, {DNNL_ARG_TO, unpacks ? a : b}});
  }

  /// x, y, or their gradients, and the packed weight or its gradient, on the calling thread. One of them is written.
  void run(float* x, float* packed, float* bias, float* y) const {
    linalg::detail::OneThread const one;
    constexpr Index line = 16;
    float* scratch = linalg::detail::host_scratch<float, 3>(scratch_ + line);
    scratch += (line - Index(reinterpret_cast<std::uintptr_t>(scratch) / sizeof(float) % line)) % line;
    bool const d_y = pass_ != ConvolutionPass::forward;
    std::unordered_map<int, Memory> arguments{
        {pass_ == ConvolutionPass::input_gradient ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, memory(x_, x)},
        {pass_ == ConvolutionPass::weight_gradient ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, memory(packed_, packed)},
        {d_y ? DNNL_ARG_DIFF_DST : DNNL_ARG_DST, memory(y_, y)},
        {DNNL_ARG_SCRATCHPAD, memory(scratchpad_, scratch)}};
    if (bias != nullptr) arguments.insert({DNNL_ARG_BIAS, memory(bias_, bias)});
    execute(convolution_, arguments);
  }

 private:
  static Memory memory(Memory::desc const& desc, float* data) { return Memory(desc, onednn_engine(), data); }

  static void execute(dnnl::primitive const& primitive, std::unordered_map<int, Memory> const& arguments) {
    thread_local dnnl::stream stream(onednn_engine());
    primitive.execute(stream, arguments);
    stream.wait();
  }

  void prepare(ConvolutionTile const& t) {
    auto const& engine = onednn_engine();
    auto const algorithm = dnnl::algorithm::convolution_direct;
    auto const training = dnnl::prop_kind::forward_training;
    Dims const stride{t.stride.height, t.stride.width}, dilation{t.dilation.height - 1, t.dilation.width - 1};
    Dims const before{t.before.height, t.before.width}, after{t.after.height, t.after.width};
    dnnl::primitive_attr user_memory, adding;
    user_memory.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    adding.set_post_ops(sum);
#if DNNL_VERSION_MAJOR >= 3
    dnnl::convolution_forward::primitive_desc const forward(engine, training, algorithm, x_, any_, bias_, y_, stride,
                                                            dilation, before, after, user_memory);
#else
    dnnl::convolution_forward::primitive_desc const forward(
        {training, algorithm, x_, any_, bias_, y_, stride, dilation, before, after}, user_memory, engine);
#endif
    if (t.pass == ConvolutionPass::forward) {
      take<dnnl::convolution_forward>(forward, forward.weights_desc());
    } else if (t.pass == ConvolutionPass::input_gradient) {
#if DNNL_VERSION_MAJOR >= 3
      dnnl::convolution_backward_data::primitive_desc const desc(engine, algorithm, x_, any_, y_, stride, dilation,
                                                                 before, after, forward, user_memory);
#else
      dnnl::convolution_backward_data::primitive_desc const desc(
          {algorithm, x_, any_, y_, stride, dilation, before, after}, user_memory, engine, forward);
#endif
      take<dnnl::convolution_backward_data>(desc, desc.weights_desc());
    } else {
#if DNNL_VERSION_MAJOR >= 3
      dnnl::convolution_backward_weights::primitive_desc const desc(engine, algorithm, x_, any_, y_, stride, dilation,
                                                                    before, after, forward, user_memory);
#else
      dnnl::convolution_backward_weights::primitive_desc const desc(
          {algorithm, x_, any_, y_, stride, dilation, before, after}, user_memory, engine, forward);
#endif
      take<dnnl::convolution_backward_weights>(desc, desc.diff_weights_desc());
      reorder_ = dnnl::reorder(dnnl::reorder::primitive_desc(engine, packed_, engine, weight_, adding));
      return;
    }
    reorder_ = dnnl::reorder(dnnl::reorder::primitive_desc(engine, weight_, engine, packed_));
  }

  template <class Convolution, class Desc>
  void take(Desc const& desc, Memory::desc const& packed) {
    convolution_ = Convolution(desc);
    packed_ = packed;
    scratchpad_ = desc.scratchpad_desc();
    scratch_ = static_cast<Index>(scratchpad_.get_size() / sizeof(float)) + 1;
    fast_ = !std::string_view(desc.impl_info_str()).starts_with("ref");
  }

  ConvolutionPass pass_;
  bool fast_ = false;
  Index scratch_ = 0;
  Memory::desc x_, y_, bias_, weight_, any_, packed_, scratchpad_;
  dnnl::primitive convolution_;
  dnnl::primitive reorder_;
};

/// The plan of a tile, made at first use. Threads may ask at the same time.
inline std::shared_ptr<ConvolutionPlan const> convolution_plan(ConvolutionTile const& tile) {
  static std::mutex mutex;
  static std::map<ConvolutionTile, std::shared_ptr<ConvolutionPlan const>> plans;
  constexpr std::size_t most = 1024;  // images of ever new sizes must not fill the memory
  std::lock_guard const lock(mutex);
  auto const found = plans.find(tile);
  if (found != plans.end()) return found->second;
  if (plans.size() >= most) plans.clear();
  return plans.emplace(tile, std::make_shared<ConvolutionPlan const>(tile)).first->second;
}

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
