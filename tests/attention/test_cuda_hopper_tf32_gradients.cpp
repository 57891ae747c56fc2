// Gradients in tf32 by Hopper's kernels: own rows in registers, and streamed ones that warps transpose for sums.
#include "emulated_cases.hpp"
#include "hopper_kernels.hpp"

namespace {

using namespace attn_test;
using emulated::full, emulated::causal, emulated::window, emulated::groups;

template <int width>
using Kernel = HopperKernels<float, width>;

template <class K, class A, class Dropout>
EmulatedOutputs run(EmulatedInputs<A, Dropout> const& in, bool in_turns = false) {
  return run_hopper_with<K>(
      in, in_turns, [&](auto const& stored, auto& backward) { run_two_launches<K>(in, stored, backward, in_turns); });
}
template <class K, class A, class Dropout = attn::NoDropout>
void expect_right(EmulatedInputs<A, Dropout> const& in) {
  SCOPED_TRACE(name_of(in.shape));
  EXPECT_SOUND(are_right(run<K>(in), run_reference<float>(in), in.shape, promised_error(K::format)));
}

/// Tokens enough for every ring to be filled anew.
template <class K, class A>
void expect_right_under_masks(A const& a) {
  for_masked_inputs(a, 290, K::width, [](auto const& in) { expect_right<K>(in); });
}

TEST(CudaHopperTf32Gradients, AgreeWithTheReference_ForSoftmax) {
  expect_right_under_masks<Kernel<64>>(attn::Softmax());
  expect_right_under_masks<Kernel<32>>(attn::Softmax());
}
TEST(CudaHopperTf32Gradients, AgreeWithTheReference_ForCubesOfATrainedScale) {
  expect_right_under_masks<Kernel<64>>(dynamic());
  expect_right<Kernel<32>, Dynamic>({dynamic(), square(130, 32), causal()});
}
TEST(CudaHopperTf32Gradients, AgreeWithTheReference_ForActivationsOfUsers) {
  for (AnyMask const& mask : {full(), window(30, 7)}) {
    expect_right<Kernel<64>, SoftmaxWithSink>({{}, square(150, 64), mask});
    expect_right<Kernel<64>, SquaredRelu>({{}, square(150, 64), mask, {}, 0.5});
  }
}

TEST(CudaHopperTf32Gradients, AgreeWithTheReference_AtAllLengths) {
  // Of one key softmax has no gradients but what rounding leaves.
  for (Index const n : {5, 64, 130, 197}) expect_right<Kernel<64>, attn::Softmax>({{}, square(n, 64), full()});
  for (Index const n : {1, 65}) expect_right<Kernel<64>, Dynamic>({dynamic(), square(n, 64), full()});
  expect_right<Kernel<64>, Dynamic>({dynamic(), shape(5, 700, 64, 64), full()});
  expect_right<Kernel<64>, attn::Softmax>({{}, shape(400, 3, 40, 64), full()});
  // Most tiles see nothing, one after the other.
  expect_right<Kernel<64>, attn::Softmax>({{}, shape(800, 10, 64, 64), causal(-795)});
  // Warpgroups of a block skip more tiles than rings have places for.
  expect_right<Kernel<64>, attn::Softmax>({{}, shape(128, 1300, 64, 64), groups(64, 640)});
  expect_right<Kernel<64>, attn::Softmax>({{}, shape(1300, 128, 64, 64), groups(640, 64)});
}

// TMA fills narrower rows up with zeros.
TEST(CudaHopperTf32Gradients, AgreeWithTheReference_InNarrowHeads) {
  for (Index const width : {16, 24}) {
    expect_right<Kernel<32>, attn::Softmax>({{}, shape(197, 203, width, 16), causal()});
  }
}

TEST(CudaHopperTf32Gradients, AgreeWithTheReference_WhereWeightsAreDropped) {
  for (AnyMask const& mask : {full(), window(9, 50)}) {
    EmulatedInputs<attn::Softmax, attn::AttentionDropout> const in{
        .activation = {}, .shape = square(150, 64), .mask = mask, .dropout = {.rate = 0.3, .key = {.seed = 4}}};
    expect_right<Kernel<64>>(in);
  }
}

TEST(CudaHopperTf32Gradients, AreIndifferentToWhatAMaskHides) {
  auto const expect_indifference = [](auto const& all) {
    for_spoilt(all, [](auto const& in) {
      SCOPED_TRACE("array " + std::to_string(in.spoilt.array) + ", token " + std::to_string(in.spoilt.token));
      EXPECT_SOUND(are_right_where_finite(run<Kernel<64>>(in), run_reference<float>(in), in.shape,
                                          promised_error(cuda::Format::tf32)));
    });
  };
  expect_indifference(EmulatedInputs<Dynamic>{dynamic(), square(140, 64), groups(50, 70)});
  expect_indifference(EmulatedInputs<attn::Softmax>{{}, square(140, 64), causal()});
}

TEST(CudaHopperTf32Gradients, KeepTheirBits_WhicheverBlockTakesATile) {
  EmulatedInputs<Dynamic> const in{dynamic(), square(300, 32), causal()};
  EmulatedOutputs const taken = run<Kernel<32>>(in, false), in_turns = run<Kernel<32>>(in, true);
  EXPECT_EQ(taken.d_q, in_turns.d_q);
  EXPECT_EQ(taken.d_k, in_turns.d_k);
  EXPECT_EQ(taken.d_v, in_turns.d_v);
  EXPECT_EQ(taken.parts, in_turns.parts);
}

}  // namespace
