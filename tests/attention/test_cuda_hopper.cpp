// The text of the kernel for Hopper, run by emulated warpgroups, against the reference in double.
#include "attn/attention/detail/hopper/launch.hpp"

#include <limits>

#include "emulated_cases.hpp"
#include "hopper_kernels.hpp"

namespace {

using namespace attn_test;
using cuda::Format;
using emulated::full, emulated::causal, emulated::window, emulated::lengths, emulated::groups;

template <class X>
using OnePass = HopperKernels<X, 64, 2, 1>;

/// Three blocks of a kernel whose works wait for others: at the same time, or one after the other, so that the first
/// gets all.
template <class Kernel>
void run_grid(Kernel kernel, bool at_once) {
  int const blocks = 3;
  unsigned counter[2] = {};
  kernel.counter = counter;
  EmulatedGrid grid(blocks, at_once);
  grid.run([&](int block) {
    WarpgroupEmulator emulator(Kernel::Shape::warps, Kernel::shared_bytes, &grid, block);
    emulator.run([&](int thread) { kernel(EmulatedHopperBlock(emulator, thread, block, blocks)); });
  });
  EXPECT_TRUE(counter[0] == 0 && counter[1] == 0) << "the next kernel counts from zero";
}

template <class K, class In, class X>
void run_one_launch(In const& in, StoredInputs<X> const& stored, EmulatedBackward<X, In>& b, bool at_once) {
  using Inputs = std::remove_cvref_t<decltype(b.inputs)>;
  using TileShape = cuda::HopperBackwardTileShape<K::format, 64, 2, cuda::Part::all>;
  Shape const& s = in.shape;
  if constexpr (attn::RowActivation<typename In::Activation, float>) {
    emulate(cuda::RowFactsOfQueries<Inputs>{{b.inputs, b.facts.data(), nullptr}});
  }
  std::size_t const n = std::size_t(s.batch * s.heads * attn::detail::tiles_of(s.queries, 64));
  std::vector<float> sums(n * 64 * 64, std::numeric_limits<float>::quiet_NaN());  // nobody has cleared them
  std::vector<unsigned> counts(n, 0);
  run_grid(
      cuda::HopperGradient<K::format, 64, TileShape, cuda::Part::all, Inputs, EmulatedMap>{
          {b.inputs, b.facts.data(), b.parts.data()},
          K::map(stored.k.tensor()),
          K::map(stored.v.tensor()),
          K::map(stored.q.tensor()),
          K::map(stored.d_out.tensor()),
          K::map(b.d_k.tensor()),
          K::map(b.d_v.tensor()),
          order_of(s.batch, s.kv_heads, s.keys, TileShape::own),
          nullptr,
          {K::map(b.d_q.tensor()), sums.data(), counts.data()}},
      at_once);
  EXPECT_EQ(counts, std::vector<unsigned>(n, 0)) << "the next kernel counts from zero";
}

/// Forward and backward. Blocks keep to turns, or of one launch all run at the same time, or other blocks take the
/// tiles.
template <class K>
EmulatedOutputs run_hopper(auto const& in, bool in_turns = K::launches == 1) {
  return run_hopper_with<K>(in, in_turns, [&](auto const& stored, auto& backward) {
    if constexpr (K::launches == 1) {
      run_one_launch<K>(in, stored, backward, in_turns);
    } else {
      run_two_launches<K>(in, stored, backward, in_turns);
    }
  });
}

template <class K, class A, class Dropout = attn::NoDropout, class Mask = AnyMask>
void expect_right(EmulatedInputs<A, Dropout, false, Mask> const& in) {
  SCOPED_TRACE(name_of(in.shape));
  EXPECT_SOUND(are_right(run_hopper<K>(in), run_reference<typename K::X>(in), in.shape, promised_error(K::format)));
}
template <class K, class A>
void expect_right_where_keys_are_hidden(A const& a, Index queries) {
  for_hidden_keys(EmulatedInputs<A>{a, {}}, queries, K::width, [](auto const& in) { expect_right<K>(in); });
}

TEST(CudaHopper, AgreesWithTheReference_WhereWeightsAreDropped) {
  EmulatedInputs<attn::Softmax, attn::AttentionDropout> in{
      .activation = {}, .shape = square(150, 64), .mask = full(), .dropout = {.rate = 0.3, .key = {.seed = 4}}};
  auto const expect_both_right = [](auto const& inputs) {
    expect_right<HopperKernels<Bf16, 64>>(inputs);
    expect_right<OnePass<Bf16>>(inputs);
  };
  expect_both_right(in);
  for_hidden_keys(in, 150, 64, expect_both_right);
}

template <class K, class A, class Mask = AnyMask>
void expect_the_same_bits(EmulatedInputs<A, attn::NoDropout, false, Mask> const& in) {
  EmulatedOutputs const taken = run_hopper<K>(in, false), in_turns = run_hopper<K>(in, true);
  EXPECT_EQ(taken.out, in_turns.out);
  EXPECT_EQ(taken.d_q, in_turns.d_q);
  EXPECT_EQ(taken.d_k, in_turns.d_k);
  EXPECT_EQ(taken.d_v, in_turns.d_v);
  EXPECT_EQ(taken.parts, in_turns.parts);
}
TEST(CudaHopper, KeepsItsBits_WhicheverBlockTakesATile) {
  expect_the_same_bits<HopperKernels<Bf16, 64, 2>, Dynamic>({dynamic(), square(300, 64), causal()});
  expect_the_same_bits<OnePass<Bf16>, attn::Softmax>({{}, square(300, 64), causal()});
  expect_the_same_bits<OnePass<Bf16>, Dynamic>({dynamic(), square(300, 64), causal()});
}

TEST(CudaHopper, AgreesWithTheReference_AtAllLengths) {
  for (Index const n : {1, 5, 64, 130, 197}) {
    expect_right<HopperKernels<Bf16, 64, 2>, attn::Softmax>({{}, square(n, 64), full()});
    expect_right<HopperKernels<Bf16, 64, 3>, Dynamic>({dynamic(), square(n, 64), full()});
  }
  expect_right<HopperKernels<Bf16, 64, 2>, attn::Softmax>({{}, shape(5, 700, 64, 64), full()});
  expect_right<HopperKernels<Bf16, 64, 3>, Dynamic>({dynamic(), shape(400, 3, 64, 64), full()});
}

TEST(CudaHopper, AgreesWithTheReference_UnderMasks) {
  int const most = std::numeric_limits<int>::max();  // no bound
  for (AnyMask const& mask : {causal(), causal(-3), causal(70), window(3, 5), window(-100, 120), window(4, most)}) {
    expect_right<HopperKernels<Bf16, 64, 3>, attn::Softmax>({{}, square(300, 64), mask});
    expect_right<HopperKernels<Bf16, 64, 2>, Dynamic>({dynamic(), square(200, 64), mask});
  }
}

TEST(CudaHopper, AgreesWithTheReference_InGroupedHeadsOfSeveralSequences) {
  std::array<int, 2> const some = {166, 20};
  Shape const s{.batch = 2, .heads = 4, .kv_heads = 2, .queries = 70, .keys = 167, .width = 64, .value_width = 64};
  expect_right<HopperKernels<Bf16, 64, 2>, attn::Softmax>({{}, s, lengths(some)});
  expect_right<HopperKernels<Bf16, 64, 3>, Dynamic>({dynamic(), s, causal(), {true, 0, 0}});
  expect_right<HopperKernels<Bf16, 64, 3>, Dynamic>({dynamic_by_heads(), s, full()});  // heads that share keys
}

// To activations a packed sequence has as many keys as a group: that is no bound on which keys a query sees.
TEST(CudaHopper, AgreesWithTheReference_InPackedSequences) {
  for (AnyMask const& mask : {groups(200, 200), groups(50, 50), groups(130, 70), groups(64, 3)}) {
    expect_right<HopperKernels<Bf16, 64, 2>, attn::Softmax>({{}, square(400, 64), mask});
    expect_right<HopperKernels<Bf16, 64, 3>, Dynamic>({dynamic(), square(400, 64), mask});
  }
  // Warpgroups of a block skip more tiles than the ring has places for.
  expect_right<HopperKernels<Bf16, 64, 3>, attn::Softmax>({{}, shape(192, 1900, 64, 64), groups(64, 640)});
  AnyMask const causal_groups = groups(150, 150, {.before = 1 << 20, .after = 0});
  expect_right<HopperKernels<Bf16, 64, 2>, attn::Softmax>({{}, square(400, 64), causal_groups});
}

TEST(CudaHopper, NeverLooksAtPadding) {
  for (std::array<int, 2> const n : {std::array{70, 129}, std::array{0, 200}}) {
    Shape s = square(201, 64);
    s.batch = 2;
    expect_right<HopperKernels<Bf16, 64, 2>, attn::Softmax>({{}, s, lengths(n), {}, 0, true});
    expect_right<HopperKernels<Bf16, 64, 3>, Dynamic>({dynamic(), s, lengths(n), {}, 0, true});
  }
}

template <class K, class A>
void expect_indifference(EmulatedInputs<A> const& all) {
  for_spoilt(all, [](EmulatedInputs<A> const& in) {
    SCOPED_TRACE(name_of(in.shape) + ", array " + std::to_string(in.spoilt.array) + ", token " +
                 std::to_string(in.spoilt.token));
    EXPECT_SOUND(are_right_where_finite(run_hopper<K>(in), run_reference<typename K::X>(in), in.shape,
                                        promised_error(K::format)));
  });
}

TEST(CudaHopper, IsIndifferentToWhatAMaskHides) {
  expect_indifference<HopperKernels<Bf16, 64, 2>, attn::Softmax>({{}, square(140, 64), causal()});
  expect_indifference<HopperKernels<Bf16, 64, 3>, Dynamic>({dynamic(), square(140, 64), groups(50, 70)});
}

TEST(CudaHopper, AgreesWithTheReference_InRowsWithGapsOfAnyWidth) {
  for (Layout const& layout : {Layout{true, 0, 0}, Layout{true, 8, 16}, Layout{false, 16, 8}}) {
    for (Index const width : {64, 40}) {
      expect_right<HopperKernels<Bf16, 64, 2>, attn::Softmax>(
          {{}, shape(70, 67, width, 104 - width), causal(), layout});
    }
  }
}

// TMA fills narrower rows up with zeros.
TEST(CudaHopper, AgreesWithTheReference_InNarrowHeads) {
  using K = HopperKernels<Bf16, 32, 2>;
  for (Index const n : {1, 64, 197}) expect_right<K, attn::Softmax>({{}, square(n, 32), full()});
  for (AnyMask const& mask : {causal(-3), window(3, 5), window(-100, 120), groups(130, 70)}) {
    expect_right<K, attn::Softmax>({{}, square(300, 32), mask});
    expect_right<HopperKernels<Bf16, 32, 3>, Dynamic>({dynamic(), square(200, 32), mask});
  }
  Shape grouped = shape(130, 203, 16, 32);
  grouped.batch = 2;
  grouped.heads = 4;
  std::array<int, 2> const n_keys{70, 129};
  expect_right<K, attn::Softmax>({{}, grouped, lengths(n_keys), {}, 0, true});
  expect_right<K, attn::Softmax>({{}, shape(70, 67, 24, 16), causal(), {true, 8, 16}});
  expect_indifference<HopperKernels<Bf16, 32, 3>, Dynamic>({dynamic(), square(140, 32), causal()});
}

TEST(CudaHopper, AgreesWithTheReference_InWideHeadsAndInFp16) {
  expect_right<HopperKernels<Bf16, 128>, attn::Softmax>({{}, square(150, 128), causal()});
  expect_right<HopperKernels<Fp16, 128>, Dynamic>({dynamic(), shape(70, 300, 104, 128), full()});
  expect_right<HopperKernels<Fp16, 256>, attn::Softmax>({{}, shape(70, 140, 200, 256), causal(70)});
  expect_right<HopperKernels<Bf16, 256>, Dynamic>({dynamic(), shape(150, 135, 256, 200), causal()});
  expect_indifference<HopperKernels<Bf16, 256>, Dynamic>({dynamic(), square(70, 256), window(30, 7)});
  expect_right<HopperKernels<Fp16, 64>, attn::Softmax>({{}, square(130, 64), window(30, 7)});
}
TEST(CudaHopper, AgreesWithTheReference_WhereKeysOfWideHeadsAndOfFp16AreHidden) {
  expect_right_where_keys_are_hidden<HopperKernels<Bf16, 128>>(attn::Softmax(), 150);
  expect_right_where_keys_are_hidden<HopperKernels<Fp16, 128>>(dynamic(), 130);
  expect_right_where_keys_are_hidden<HopperKernels<Fp16, 256>>(attn::Softmax(), 70);
  expect_right_where_keys_are_hidden<HopperKernels<Bf16, 256>>(dynamic(), 130);
  expect_right_where_keys_are_hidden<HopperKernels<Fp16, 64>>(attn::Softmax(), 130);
  expect_right_where_keys_are_hidden<OnePass<Fp16>>(attn::Softmax(), 130);
}

TEST(CudaHopper, TakesActivationsOfUsers) {
  using K = HopperKernels<Bf16, 64>;
  for (AnyMask const& mask : {full(), window(30, 7)}) {
    expect_right<K, SoftmaxWithSink>({{}, square(70, 64), mask});
    expect_right<K, SquaredRelu>({{}, square(70, 64), mask, {}, 0.5});
  }
}

// Rows that fill up a tile have scores of zero, which no activation needs to take.
TEST(CudaHopper, ShowsNoPaddingToActivations) {
  expect_right<HopperKernels<Bf16, 64>, EntropyOfSizes>({{}, square(70, 64), causal()});
}

// A forward pass by this kernel and a backward pass by the other go together.
TEST(CudaHopper, SavesTheStatisticsThatTheOtherKernelsSave) {
  for (AnyMask const& mask : {full(), window(3, -1)}) {  // the first query of the window sees nothing
    EmulatedInputs<attn::Softmax> const in{{}, square(140, 64), mask};
    auto const want = run_emulated<Kernels<Bf16, 64>>(in, false);
    EXPECT_SOUND(attn::testing::allclose(run_hopper<HopperKernels<Bf16, 64>>(in).stats, want.stats, 1e-5));
  }
}

// One launch for all gradients: its blocks run at the same time, and wait for one another.

TEST(CudaHopper, OnePassAgreesWithTheReference_AtAllLengths) {
  for (Index const n : {1, 64, 130, 300}) {
    expect_right<OnePass<Bf16>, attn::Softmax>({{}, square(n, 64), full()});
    expect_right<OnePass<Bf16>, attn::Poly<3>>({{}, square(n, 64), full()});
  }
  expect_right<OnePass<Bf16>, attn::Softmax>({{}, shape(5, 700, 64, 64), full()});
  expect_right<OnePass<Bf16>, attn::Poly<3>>({{}, shape(400, 3, 40, 64), full(), {true, 8, 16}});
}

TEST(CudaHopper, OnePassAgreesWithTheReference_UnderMasks) {
  int const most = std::numeric_limits<int>::max();  // no bound
  for (AnyMask const& mask : {causal(), causal(-70), causal(70), window(3, 5), window(-100, 120), window(4, most),
                              window(30, -29), groups(130, 70), groups(50, 50)}) {
    expect_right<OnePass<Bf16>, attn::Softmax>({{}, square(270, 64), mask});
  }
  for (AnyMask const& mask : {causal(70), window(3, 5), groups(130, 70)}) {
    expect_right<OnePass<Bf16>, attn::Poly<3>>({{}, square(200, 64), mask});
  }
}

TEST(CudaHopper, OnePassAgreesWithTheReference_InGroupedHeadsOfSeveralSequences) {
  std::array<int, 2> const some = {166, 20};
  Shape const s{.batch = 2, .heads = 4, .kv_heads = 2, .queries = 70, .keys = 167, .width = 64, .value_width = 64};
  expect_right<OnePass<Bf16>, attn::Softmax>({{}, s, lengths(some)});
  expect_right<OnePass<Bf16>, attn::Sigmoid>({{1}, s, lengths(some)});  // of each sequence another bias
  expect_right<OnePass<Bf16>, attn::Poly<3>>({{}, s, causal(), {true, 0, 0}});
}

TEST(CudaHopper, OnePassNeverLooksAtPadding) {
  Shape s = square(201, 64);
  s.batch = 2;
  for (std::array<int, 2> const n : {std::array{70, 129}, std::array{0, 200}}) {
    expect_right<OnePass<Bf16>, attn::Softmax>({{}, s, lengths(n), {}, 0, true});
    expect_right<OnePass<Bf16>, attn::Poly<3>>({{}, s, lengths(n), {}, 0, true});
  }
  expect_indifference<OnePass<Bf16>, attn::Softmax>({{}, square(140, 64), causal()});
}

TEST(CudaHopper, OnePassTakesActivationsOfUsersAndFp16) {
  for (AnyMask const& mask : {full(), window(30, 7)}) {
    expect_right<OnePass<Bf16>, SoftmaxWithSink>({{}, square(150, 64), mask});
    expect_right<OnePass<Bf16>, SquaredRelu>({{}, square(150, 64), mask, {}, 0.5});
  }
  expect_right<OnePass<Fp16>, attn::Softmax>({{}, square(150, 64), window(30, 7)});
}

// The gradient of a trained scale follows from those of keys.
TEST(CudaHopper, OnePassAgreesWithTheReference_InGradientsOfATrainedScale) {
  using K = OnePass<Bf16>;
  for (Index const n : {1, 300}) expect_right<K, Dynamic>({dynamic(), square(n, 64), full()});
  expect_right<K, Dynamic>({dynamic(), shape(400, 3, 40, 64), full(), {true, 8, 16}});
  for (AnyMask const& mask : {causal(70), window(3, 5), groups(130, 70)}) {
    expect_right<K, Dynamic>({dynamic(), square(200, 64), mask});
  }
  std::array<int, 2> const some = {166, 20};
  Shape s{.batch = 2, .heads = 4, .kv_heads = 2, .queries = 70, .keys = 167, .width = 64, .value_width = 64};
  expect_right<K, Dynamic>({dynamic(), s, lengths(some), {}, 0, true});  // of keys that are NaN, too
  s.kv_heads = 4;
  expect_right<K, Dynamic>({dynamic_by_heads(), s, causal()});
  expect_indifference<K, Dynamic>({dynamic(), square(140, 64), groups(50, 70)});
  EmulatedInputs<Dynamic, attn::AttentionDropout> const dropped{
      .activation = dynamic(), .shape = square(150, 64), .mask = window(9, 50), .dropout = {.rate = 0.3}};
  expect_right<K>(dropped);

  static float const none = 0;  // all weights are zero, the gradient is not
  static float gradient = 0;
  expect_right<K, Dynamic>({Dynamic{{&none, &gradient}}, square(130, 64), full()});
}

// For attn::Full kernels compile to other ways than for AnyMask: where two launches make gradients, each warp knows by
// itself which tiles there are, and in all nobody marks queries or looks for what is not finite.

template <class A>
using Unmasked = EmulatedInputs<A, attn::NoDropout, false, attn::Full>;

/// One key, and few queries: most warps have no rows of their own.
template <class K, class A>
void expect_right_for_few(A const& a) {
  expect_right<K>(Unmasked<A>{a, shape(65, 1, K::width, 40)});
  expect_right<K>(Unmasked<A>{a, shape(3, 70, K::width, K::width)});
}

// Two heads share keys. Queries or keys have more tiles than rings have places, and the last are not full.
TEST(CudaHopper, AgreesWithTheReference_WithoutAMask) {
  using K = HopperKernels<Bf16, 64>;
  expect_right<K>(Unmasked<attn::Softmax>{{}, shape(290, 140, 64, 64)});
  expect_right<K>(Unmasked<attn::Softmax>{{}, shape(70, 580, 64, 64)});
  expect_right<K>(Unmasked<Dynamic>{dynamic(), shape(290, 140, 64, 64)});
  expect_right_for_few<K>(attn::Softmax());
  expect_right_for_few<K>(dynamic());
  expect_right<HopperKernels<Bf16, 128>>(Unmasked<attn::Softmax>{{}, shape(150, 330, 128, 128)});
}
TEST(CudaHopper, OnePassAgreesWithTheReference_WithoutAMask) {
  using K = OnePass<Bf16>;
  expect_right<K>(Unmasked<attn::Softmax>{{}, square(300, 64)});
  expect_right<K>(Unmasked<Dynamic>{dynamic(), square(300, 64)});
  expect_right_for_few<K>(attn::Softmax());
  expect_right_for_few<K>(dynamic());
}
TEST(CudaHopper, KeepsItsBitsWithoutAMask_WhicheverBlockTakesATile) {
  Shape const s = shape(140, 270, 64, 64);
  expect_the_same_bits<HopperKernels<Bf16, 64>>(Unmasked<attn::Softmax>{{}, s});
  expect_the_same_bits<OnePass<Bf16>>(Unmasked<Dynamic>{dynamic(), s});
}

// Which calls a launch serves, and how.
TEST(CudaHopper, ServesLongSequencesInRowsThatTmaCanCopy) {
  using X = attn::Tensor<Bf16, 4, Kokkos::HostSpace>;
  std::vector<Bf16> memory(1 << 16);
  using attn::Pass;
  auto const serves = [&](X const& q, X const& k) {
    return cuda::serves_hopper<Format::bf16, Pass::forward, 64>(q, k, k, q);
  };
  X const q(memory.data(), {1, 2, 65, 64}), k(memory.data(), {1, 1, 5, 64});
  EXPECT_TRUE(serves(q, k));
  EXPECT_TRUE(serves(X(memory.data(), {1, 2, 65, 40}, {7, 64, 128, 1}), k)) << "no step of 7 is taken";
  EXPECT_FALSE(serves(X(memory.data(), {1, 2, 64, 64}), k)) << "small tiles";
  EXPECT_FALSE(serves(q, X(memory.data(), {1, 1, 0, 64}))) << "TMA has no boxes of nothing";
  EXPECT_FALSE(serves(X(memory.data(), {1, 2, 65, 63}), k)) << "rows of 126 bytes";
  EXPECT_FALSE(serves(X(memory.data(), {1, 2, 65, 64}, {0, 0, 64, 1}), k)) << "heads that share memory";
  EXPECT_FALSE((cuda::serves_hopper<Format::fp32, Pass::forward, 64>(q, k, k, q)));
  EXPECT_TRUE((cuda::serves_hopper<Format::tf32, Pass::forward, 128>(q, k, k, q)));
  EXPECT_FALSE((cuda::serves_hopper<Format::tf32, Pass::forward, 256>(q, k, k, q))) << "shared memory is full";
  EXPECT_TRUE((cuda::serves_hopper<Format::tf32, Pass::backward, 64>(q, k, k, q)));
  EXPECT_FALSE((cuda::serves_hopper<Format::tf32, Pass::backward, 128>(q, k, k, q))) << "shared memory is full";
}

// By the model; nobody has measured it.
TEST(CudaHopper, TakesOneLaunchForGradientsWhereAllMultiprocessorsHaveWork) {
  auto const takes = [](Index batch, Index heads, Index n, bool needs_facts) {
    return cuda::takes_one_launch({batch, heads, heads, n, n, needs_facts, 132}, 64 * cuda::hopper_consumers(64, n));
  };
  for (bool const needs_facts : {false, true}) {
    EXPECT_TRUE(takes(16, 16, 1024, needs_facts));
    EXPECT_TRUE(takes(4, 16, 4096, needs_facts));
    EXPECT_TRUE(takes(1, 16, 16384, needs_facts));
    EXPECT_FALSE(takes(1, 16, 1024, needs_facts)) << "blocks would wait for one another most of the time";
    EXPECT_FALSE(takes(512, 16, 1024, needs_facts)) << "sums of 2 GiB";
  }
}

TEST(CudaHopper, MakesGradientsOfAScaleInOneLaunchWhereTheyFollowFromThoseOfKeys) {
  auto const gives = [](auto const& a, Index kv_heads, Index queries, Index keys) {
    return cuda::gives_parameter_gradients(a, {2, 4, kv_heads, queries, keys, false, 132});
  };
  static_assert(cuda::has_one_pass<Format::bf16, 64, Dynamic> && !cuda::has_one_pass<Format::fp16, 64, Dynamic>);
  static_assert(!cuda::has_one_pass<Format::bf16, 64, attn::TemperedSoftmax>);
  EXPECT_TRUE(gives(dynamic(), 2, 70, 167));
  EXPECT_TRUE(gives(dynamic_by_heads(), 4, 70, 167));
  EXPECT_FALSE(gives(dynamic_by_heads(), 2, 70, 167)) << "heads share the gradients of keys";
  EXPECT_TRUE(gives(dynamic(), 4, 65, 65 * 16));
  EXPECT_FALSE(gives(dynamic(), 4, 65, 65 * 16 + 1)) << "more parts than queries";
  EXPECT_TRUE(gives(attn::Softmax(), 4, 65, 65 * 16 + 1)) << "no parts";
}

TEST(CudaHopper, TakesThreeWarpgroupsWhereTheyWasteFewRows) {
  EXPECT_EQ(cuda::hopper_consumers(64, 197), 2);
  EXPECT_EQ(cuda::hopper_consumers(64, 256), 2);
  EXPECT_EQ(cuda::hopper_consumers(64, 192), 3);
  EXPECT_EQ(cuda::hopper_consumers(64, 1024), 3);
  EXPECT_EQ(cuda::hopper_consumers(64, 16384), 3);
  EXPECT_EQ(cuda::hopper_consumers(32, 16384), 3);
  EXPECT_EQ(cuda::hopper_consumers(128, 16384), 2);
}

}  // namespace
