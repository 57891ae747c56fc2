/// Forward passes by Hopper's kernels in emulated warpgroups, gradients by two launches, and how blocks take their
/// tiles.
#pragma once

#include "attn/attention/detail/hopper/launch.hpp"

#include <gtest/gtest.h>

#include "emulated_attention.hpp"
#include "emulated_warpgroup.hpp"

namespace attn_test {

/// Which kernels: the numbers in memory, those of fp32 multiplied in tf32, the width of tiles, how many warpgroups
/// multiply, and how many launches make gradients.
template <class X_, int width_, int consumers_ = 2, int launches_ = 2>
struct HopperKernels {
  using X = X_;
  static constexpr cuda::Format format = cuda::format_for<X, attn::Tf32Products>;
  static constexpr int width = width_, consumers = consumers_, launches = launches_;
  /// What TMA knows of a tensor; of one that is read, where numbers are rounded on the way.
  template <class Tensor>
  static EmulatedMap map(Tensor const& x, int rows = 64) {
    return {x, rows, cuda::panel_columns<width, sizeof(X)>};
  }
  template <class Tensor>
  static EmulatedMap map_to_read(Tensor const& x, int rows) {
    EmulatedMap read = map(x, rows);
    read.rounds = format == cuda::Format::tf32;
    return read;
  }
};

/// Two blocks take the tiles of a kernel: one after the other, so that the first gets all but the second's first, or in
/// turns.
template <class Kernel>
void run_blocks(Kernel kernel, bool in_turns) {
  WarpgroupEmulator emulator(Kernel::Shape::warps, Kernel::shared_bytes);
  unsigned counter[2] = {};
  kernel.counter = in_turns ? nullptr : counter;
  for (long i = 0; i < 2; ++i) {
    emulator.run([&](int thread) { kernel(EmulatedHopperBlock(emulator, thread, i, 2)); });
  }
  EXPECT_TRUE(counter[0] == 0 && counter[1] == 0) << "the next kernel counts from zero";
}

/// Of the heads of `count` sequences, two together.
inline cuda::WorkOrder order_of(Index count, Index heads, Index rows, int own) {
  return {count * heads, attn::detail::tiles_of(rows, own), 1, 3};
}

template <class K, class In>
EmulatedOutputs run_hopper_forward(In const& in, StoredInputs<typename K::X> const& stored,
                                   Stored<typename K::X> const& out, EmulatedStats<typename In::Activation>& stats,
                                   bool in_turns) {
  Shape const& s = in.shape;
  using TileShape = cuda::HopperTileShape<K::width, K::consumers, K::format>;
  cuda::HopperForward<K::format, K::width, TileShape, typename In::Activation, EmulatedMap, typename In::Mask,
                      typename In::Dropout> const forward{
      in.activation,
      K::map_to_read(stored.q.tensor(), 64),
      K::map_to_read(stored.k.tensor(), TileShape::streamed),
      K::map_to_read(stored.v.tensor(), TileShape::streamed),
      K::map(out.tensor()),
      stats.saved(),
      in.mask,
      {int(s.batch), int(s.heads), int(s.kv_heads), int(s.queries), int(s.keys)},
      in.scale(),
      order_of(s.batch, s.heads, s.queries, TileShape::own),
      nullptr,
      in.dropout};
  run_blocks(forward, in_turns);
  EmulatedOutputs result;
  result.out = out.numbers();
  result.gaps_are_untouched = out.gaps_are_untouched();
  result.stats = stats.normalizers(in.activation);
  return result;
}

/// All gradients, by a launch for those of queries and one or two for those of keys and values.
template <class K, class In, class X>
void run_two_launches(In const& in, StoredInputs<X> const& stored, EmulatedBackward<X, In>& b, bool in_turns) {
  using cuda::Part;
  Shape const& s = in.shape;
  auto const own = [](Stored<X> const& x) { return K::map_to_read(x.tensor(), 64); };
  auto const streamed = [](Stored<X> const& x) { return K::map_to_read(x.tensor(), cuda::hopper_streamed<K::width>); };
  auto const result = [](Stored<X> const& x) { return K::map(x.tensor()); };
  auto const gradient = [&](auto part, auto consumers, EmulatedMap const& own1, EmulatedMap const& own2,
                            EmulatedMap const& streamed1, EmulatedMap const& streamed2, EmulatedMap const& first,
                            EmulatedMap const& second) {
    using TileShape = cuda::HopperBackwardTileShape<K::format, K::width, consumers(), part()>;
    using Inputs = std::remove_cvref_t<decltype(b.inputs)>;
    cuda::HopperGradient<K::format, K::width, TileShape, part(), Inputs, EmulatedMap> const kernel{
        {b.inputs, b.facts.data(), b.parts.data()},
        own1,
        own2,
        streamed1,
        streamed2,
        first,
        second,
        part() == Part::queries ? order_of(s.batch, s.heads, s.queries, TileShape::own)
                                : order_of(s.batch, s.kv_heads, s.keys, TileShape::own),
        nullptr};
    run_blocks(kernel, in_turns);
  };
  auto const of_keys = [&](auto part) {
    gradient(part, std::integral_constant<int, 2>(), own(stored.k), own(stored.v), streamed(stored.q),
             streamed(stored.d_out), result(b.d_k), result(b.d_v));
  };
  gradient(cuda::PartConstant<Part::queries>(), std::integral_constant<int, K::consumers>(), own(stored.q),
           own(stored.d_out), streamed(stored.k), streamed(stored.v), result(b.d_q), EmulatedMap());
  if constexpr (cuda::joins_keys_and_values<K::width>) {
    of_keys(cuda::PartConstant<Part::keys_and_values>());
  } else {
    of_keys(cuda::PartConstant<Part::keys>());
    of_keys(cuda::PartConstant<Part::values>());
  }
}

/// Forward and backward; make_gradients(stored, backward) launches the kernels for gradients.
template <class K, class In, class MakeGradients>
EmulatedOutputs run_hopper_with(In const& in, bool in_turns, MakeGradients const& make_gradients) {
  using X = typename K::X;
  StoredInputs<X> const stored(in);
  Stored<X> const out(in.out_extents(), in.layout);
  EmulatedStats<typename In::Activation> stats(in);
  EmulatedOutputs result = run_hopper_forward<K>(in, stored, out, stats, in_turns);
  EmulatedBackward<X, In> backward(in, stored, out, stats.saved());
  make_gradients(stored, backward);
  backward.put_into(result);
  return result;
}

}  // namespace attn_test
