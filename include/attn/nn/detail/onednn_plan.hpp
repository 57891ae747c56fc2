/// What oneDNN prepares for one tile of a convolution (machine code, the order of the weights), kept for all later
/// calls of the same sizes.
#pragma once

#include "attn/linalg/detail/gemm_tile.hpp"
#include "attn/linalg/detail/host_scratch.hpp"
#include "attn/nn/feature_maps.hpp"

#if defined(ATTN_HAVE_ONEDNN) && !defined(__NVCC__)
#include <dnnl.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>

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

}  // namespace attn::nn::detail
#endif
