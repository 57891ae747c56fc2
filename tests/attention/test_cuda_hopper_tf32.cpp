// Products in tf32 by Hopper's forward kernel: fp32 that TMA rounds, queries in registers, values that warps transpose.
#include "emulated_cases.hpp"
#include "hopper_kernels.hpp"

namespace {

using namespace attn_test;
using cuda::Format;
using emulated::full, emulated::causal, emulated::window, emulated::groups;

template <int width, int consumers = 2>
using Kernel = HopperKernels<float, width, consumers>;

/// The reference's output, and that of the kernel.
struct Both {
  EmulatedOutputs got, want;
};
template <class K, class A, class Dropout>
Both run(EmulatedInputs<A, Dropout> const& in, bool in_turns = false) {
  StoredInputs<float> const stored(in);
  Stored<float> const out(in.out_extents(), in.layout);
  EmulatedStats<A> stats(in);
  Both both{run_hopper_forward<K>(in, stored, out, stats, in_turns), run_reference<float>(in)};
  both.want.d_q = both.want.d_k = both.want.d_v = both.want.parts = {};  // which others make
  return both;
}
template <class K, class A, class Dropout = attn::NoDropout>
void expect_right(EmulatedInputs<A, Dropout> const& in) {
  SCOPED_TRACE(name_of(in.shape));
  Both const both = run<K>(in);
  EXPECT_SOUND(are_right(both.got, both.want, in.shape, promised_error(K::format)));
}

/// Keys enough for every ring to be filled anew.
template <class K, class A>
void expect_right_under_masks(A const& a) {
  for_masked_inputs(a, 130, K::width, [](auto const& in) { expect_right<K>(in); });
}

TEST(CudaHopperTf32, AgreesWithTheReference_ForSoftmax) {
  expect_right_under_masks<Kernel<64, 3>>(attn::Softmax());
  expect_right_under_masks<Kernel<32, 3>>(attn::Softmax());
  expect_right_under_masks<Kernel<128>>(attn::Softmax());
}
TEST(CudaHopperTf32, AgreesWithTheReference_ForCubes) { expect_right_under_masks<Kernel<64, 3>>(attn::Poly<3>()); }
TEST(CudaHopperTf32, AgreesWithTheReference_ForCubesOfATrainedScale) {
  expect_right_under_masks<Kernel<64>>(dynamic());
  expect_right_under_masks<Kernel<128>>(dynamic());
}
TEST(CudaHopperTf32, AgreesWithTheReference_ForActivationsOfUsers) {
  expect_right_under_masks<Kernel<64>>(SquaredRelu());
  expect_right_under_masks<Kernel<32>>(SquaredRelu());
}

TEST(CudaHopperTf32, AgreesWithTheReference_AtAllLengths) {
  for (Index const n : {1, 5, 64, 130, 197}) expect_right<Kernel<64, 3>, attn::Softmax>({{}, square(n, 64), full()});
  expect_right<Kernel<64>, Dynamic>({dynamic(), shape(5, 700, 64, 64), full()});
  expect_right<Kernel<64, 3>, attn::Softmax>({{}, shape(400, 3, 40, 64), full()});
  // Most tiles of queries see nothing, one after the other.
  expect_right<Kernel<64, 3>, attn::Softmax>({{}, shape(800, 10, 64, 64), causal(-795)});
  // Warpgroups of a block skip more tiles than rings have places for.
  expect_right<Kernel<64, 3>, attn::Softmax>({{}, shape(192, 1900, 64, 64), groups(64, 640)});
}

// TMA fills narrower rows up with zeros.
TEST(CudaHopperTf32, AgreesWithTheReference_InNarrowHeads) {
  for (Index const width : {16, 24}) {
    expect_right<Kernel<32, 3>, attn::Softmax>({{}, shape(197, 203, width, 16), causal()});
  }
}

TEST(CudaHopperTf32, IsIndifferentToWhatAMaskHides) {
  EmulatedInputs<Dynamic> all{dynamic(), square(140, 64), causal()};
  for_spoilt(all, [](EmulatedInputs<Dynamic> const& in) {
    SCOPED_TRACE("array " + std::to_string(in.spoilt.array) + ", token " + std::to_string(in.spoilt.token));
    Both const both = run<Kernel<64>>(in);
    EXPECT_SOUND(are_right_where_finite(both.got, both.want, in.shape, promised_error(Format::tf32)));
  });
}

TEST(CudaHopperTf32, KeepsItsBits_WhicheverBlockTakesATile) {
  EmulatedInputs<attn::Softmax> const in{{}, square(500, 32), causal()};
  EXPECT_EQ((run<Kernel<32, 3>>(in, false).got.out), (run<Kernel<32, 3>>(in, true).got.out));
}

// A query that sees one key alone has its value, rounded to the nearest tf32.
TEST(CudaHopperTf32, RoundsToTheNearest) {
  EmulatedInputs<attn::Softmax> const in{{}, square(70, 64), window(0, 0)};
  Both const both = run<Kernel<64, 3>>(in);
  bool any_is_rounded = false;
  for (std::size_t i = 0; i < both.want.out.size(); ++i) {
    double const x = both.want.out[i], ulp = std::ldexp(1.0, std::ilogb(x) - 10);
    EXPECT_LE(std::abs(both.got.out[i] - x), ulp / 2) << x;
    any_is_rounded = any_is_rounded || both.got.out[i] != x;
  }
  EXPECT_TRUE(any_is_rounded);
}

}  // namespace
