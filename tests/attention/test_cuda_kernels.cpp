// The text of the tensor-core kernels, run by emulated blocks of threads, against the reference in double: every
// format, width and cut, with the errors that the library promises.
#include <gtest/gtest.h>

#include <limits>

#include "emulated_cases.hpp"

namespace {

using namespace attn_test;
using cuda::Format;
using cuda::Length;
using emulated::full, emulated::causal, emulated::window, emulated::lengths, emulated::groups;

template <class K, class A>
void expect_right(EmulatedInputs<A> const& in) {
  SCOPED_TRACE(name_of(in.shape));
  EXPECT_SOUND(emulated_is_right<K>(in));
}
template <class K, class A>
void expect_right_where_keys_are_hidden(A const& a, Index queries) {
  for_hidden_keys(EmulatedInputs<A>{a, {}}, queries, K::width, [](auto const& in) { expect_right<K>(in); });
}

TEST(CudaKernels, AgreeWithTheReference_InBf16) {
  using K = Kernels<Bf16, 64>;
  for (Index const n : {0, 1, 17, 49, 64, 65, 197}) expect_right<K, attn::Softmax>({{}, square(n, 64), full()});
  for (Index const n : {1, 65, 130}) expect_right<K, Dynamic>({dynamic(), square(n, 64), full()});
  for (Shape const& s : {shape(0, 5, 64, 64), shape(5, 0, 64, 64)}) expect_right<K, attn::Softmax>({{}, s, full()});
  expect_right<K, attn::Softmax>({{}, shape(5, 130, 64, 64), causal(125)});
  expect_right<K, attn::Softmax>({{}, shape(130, 5, 64, 40), full()});
}

TEST(CudaKernels, AgreeWithTheReference_UnderMasks) {
  using K = Kernels<Bf16, 64>;
  int const most = std::numeric_limits<int>::max();  // no bound
  for (AnyMask const& mask :
       {causal(), causal(-3), causal(70), window(3, 5), window(-100, 120), causal(most), window(4, most)}) {
    expect_right<K, attn::Softmax>({{}, square(150, 64), mask});
    expect_right<K, Dynamic>({dynamic(), square(150, 64), mask});
  }
}

TEST(CudaKernels, AgreeWithTheReference_WithAnyScaleOfTheScores) {
  using K = Kernels<Bf16, 64>;
  for (double const scale : {-0.2, 1e-3, 1.5}) {
    expect_right<K, attn::Softmax>({{}, square(70, 64), causal(), {}, scale});
    expect_right<K, Dynamic>({dynamic(), square(70, 64), causal(), {}, scale});
  }
}

TEST(CudaKernels, AgreeWithTheReference_InGroupedHeadsOfSeveralSequences) {
  using K = Kernels<Bf16, 64>;
  std::array<int, 2> const some = {66, 20};
  Shape const s{.batch = 2, .heads = 4, .kv_heads = 2, .queries = 70, .keys = 67, .width = 64, .value_width = 64};
  expect_right<K, attn::Softmax>({{}, s, lengths(some)});
  expect_right<K, Dynamic>({dynamic(), s, causal(), {true, 0, 0}});
}

TEST(CudaKernels, AgreeWithTheReference_InPackedSequences) {
  using K = Kernels<Bf16, 64>;
  for (AnyMask const& mask :
       {groups(100, 100), groups(30, 50), groups(64, 3), groups(70, 70, {.before = 1 << 20, .after = 0})}) {
    expect_right<K, attn::Softmax>({{}, square(200, 64), mask});
    expect_right<K, Dynamic>({dynamic(), square(200, 64), mask});
  }
}

TEST(CudaKernels, NeverLookAtPadding) {
  using K = Kernels<Bf16, 64>;
  std::array<int, 2> const some = {70, 1}, none = {0, 33};
  for (auto const& n : {some, none}) {
    Shape s = square(90, 64);
    s.batch = 2;
    expect_right<K, attn::Softmax>({{}, s, lengths(n), {}, 0, true});
    expect_right<K, Dynamic>({dynamic(), s, lengths(n), {}, 0, true});
  }
}

// Zero times a number that is not finite is no zero: rows that some queries of a tile do not see.
template <class K, class A>
void expect_indifference(EmulatedInputs<A> const& all) {
  for_spoilt(all, [](EmulatedInputs<A> const& in) {
    SCOPED_TRACE(name_of(in.shape) + ", array " + std::to_string(in.spoilt.array) + ", token " +
                 std::to_string(in.spoilt.token));
    EXPECT_SOUND(are_right_where_finite(run_emulated<K>(in), run_reference<typename K::X>(in), in.shape,
                                        promised_error(K::format)));
  });
}

TEST(CudaKernels, AreIndifferentToWhatAMaskHides) {
  expect_indifference<Kernels<Bf16, 64>, attn::Softmax>({{}, square(90, 64), window(3, 5)});
  expect_indifference<Kernels<Bf16, 64>, Dynamic>({dynamic(), square(90, 64), groups(50, 70)});
  expect_indifference<Kernels<float, 32>, Dynamic>({dynamic(), shape(70, 67, 31, 17), causal()});
  expect_indifference<Kernels<float, 32>, attn::Softmax>({{}, square(67, 32), causal()});
  expect_indifference<Kernels<Bf16, 256>, Dynamic>({dynamic(), square(70, 200), causal()});
  expect_indifference<Kernels<Fp16, 64>, attn::Softmax>({{}, square(70, 64), causal()});
}

TEST(CudaKernels, AgreeWithTheReference_InRowsThatAreNotAligned) {
  using K = Kernels<Bf16, 64>;
  for (Layout const& layout : {Layout{true, 0, 0}, Layout{true, 8, 16}, Layout{false, 3, 1}, Layout{true, 1, 0}}) {
    for (Index const width : {64, 63, 33}) {
      expect_right<K, attn::Softmax>({{}, shape(70, 67, width, 97 - width), causal(), layout});
    }
  }
  expect_right<Kernels<float, 32>, Dynamic>({dynamic(), shape(70, 67, 31, 17), causal(), {true, 0, 1}});
}

TEST(CudaKernels, AgreeWithTheReference_InWindowsOfSwin) {
  using K = Kernels<Bf16, 32, Length::small>;
  for (Index const n : {17, 49, 64}) expect_right<K, attn::Softmax>({{}, square(n, 32), full()});
  expect_right<K, attn::Softmax>({{}, shape(49, 130, 32, 32), causal(60)});
  expect_right_where_keys_are_hidden<K>(attn::Softmax(), 49);
  using Wide = Kernels<Fp16, 128, Length::small>;
  expect_right<Wide, attn::Poly<3, attn::FixedScale>>({{}, square(49, 128), full()});
  expect_right_where_keys_are_hidden<Wide>(attn::Poly<3, attn::FixedScale>(), 49);
}

TEST(CudaKernels, AgreeWithTheReference_InTinySequences) {
  using K = Kernels<float, 16, Length::tiny>;
  for (Index const n : {1, 5, 16}) {
    expect_right<K, attn::Softmax>({{}, square(n, 16), full()});
    expect_right<K, Dynamic>({dynamic(), square(n, 16), causal()});
  }
  expect_right<K, Dynamic>({dynamic(), shape(16, 61, 16, 9), window(20, 30)});
  expect_right_where_keys_are_hidden<K>(attn::Softmax(), 16);
  expect_right_where_keys_are_hidden<K>(dynamic(), 13);
}

TEST(CudaKernels, AgreeWithTheReference_InFp32AsAccurateAsFp32) {
  for (Index const n : {1, 49, 65}) {
    expect_right<Kernels<float, 32>, attn::Softmax>({{}, square(n, 32), full()});
    expect_right<Kernels<float, 32>, Dynamic>({dynamic(), square(n, 32), causal()});
  }
  // A thousand keys: what tensor cores cut off must not add up.
  expect_right<Kernels<float, 32>, attn::Softmax>({{}, shape(20, 1024, 32, 32), full()});
  expect_right<Kernels<float, 128>, attn::Softmax>({{}, square(65, 100), full()});
  expect_right<Kernels<float, 256>, attn::Softmax>({{}, square(40, 256), causal()});
  expect_right_where_keys_are_hidden<Kernels<float, 32>>(dynamic(), 67);
  expect_right_where_keys_are_hidden<Kernels<float, 128>>(attn::Softmax(), 40);
}

TEST(CudaKernels, AgreeWithTheReference_InTf32AndFp16) {
  using Tf32 = Kernels<float, 64, Length::any, Format::tf32>;
  expect_right<Tf32, attn::Softmax>({{}, square(65, 64), causal()});
  expect_right_where_keys_are_hidden<Tf32>(attn::Softmax(), 67);
  expect_right<Kernels<Fp16, 64>, attn::Softmax>({{}, square(130, 64), causal()});
  expect_right<Kernels<Fp16, 16>, Dynamic>({dynamic(), square(130, 16), causal()});
  expect_right_where_keys_are_hidden<Kernels<Fp16, 64>>(attn::Softmax(), 70);
  expect_right_where_keys_are_hidden<Kernels<Fp16, 16>>(dynamic(), 70);
}

TEST(CudaKernels, AgreeWithTheReference_InWideHeads) {
  expect_right<Kernels<Bf16, 128>, attn::Softmax>({{}, square(130, 128), causal()});
  expect_right<Kernels<Bf16, 256>, Dynamic>({dynamic(), square(70, 200), causal()});
  expect_right_where_keys_are_hidden<Kernels<Bf16, 128>>(attn::Softmax(), 70);
  expect_right_where_keys_are_hidden<Kernels<Bf16, 256>>(dynamic(), 70);
}

TEST(CudaKernels, TakeActivationsOfUsers) {
  using K = Kernels<Bf16, 16>;
  for (AnyMask const& mask : {full(), window(30, 7)}) {
    expect_right<K, SoftmaxWithSink>({{}, square(70, 16), mask});
    expect_right<K, SquaredRelu>({{}, square(70, 16), mask, {}, 0.5});
    expect_right<K, attn::Normalized<SquaredRelu>>({{}, square(70, 16), mask});
  }
}

// Rows that fill up a tile have scores of zero, which no activation needs to take.
TEST(CudaKernels, ShowNoPaddingToActivations) {
  for (AnyMask const& mask : {full(), causal()}) {
    expect_right<Kernels<float, 16>, EntropyOfSizes>({{}, square(70, 16), mask});
  }
}

TEST(CudaKernels, KeepWeightsBeyondTheRangeOfFp16Finite) {
  EmulatedInputs<attn::Poly<3>> const in{{}, square(17, 16), full(), {}, 40};
  auto const got = run_emulated<Kernels<Fp16, 16>>(in, false);
  for (double const x : got.out) EXPECT_EQ(x, x);
}

// A forward pass by one kernel and a backward pass by another go together.
TEST(CudaKernels, SaveTheStatisticsThatThePortableKernelSaves) {
  using Host = Kokkos::HostSpace;
  for (AnyMask const& mask : {full(), window(3, -1)}) {  // the first query of the window sees nothing
    EmulatedInputs<attn::Softmax> const in{{}, square(70, 16), mask};
    auto const got = run_emulated<Kernels<float, 16>>(in, false);
    Shape const& s = in.shape;
    Stored<float> const q({s.batch, s.heads, s.queries, s.width}, {}, normal_numbers(s.q_size(), 1)),
        k({s.batch, s.kv_heads, s.keys, s.width}, {}, normal_numbers(s.k_size(), 2)),
        v({s.batch, s.kv_heads, s.keys, s.value_width}, {}, normal_numbers(s.v_size(), 3)),
        out({s.batch, s.heads, s.queries, s.value_width}, {});
    attn::Saved<attn::Softmax, float, Host> const saved(s.batch, s.heads, s.queries);
    Kokkos::DefaultHostExecutionSpace const exec;
    attn::detail::team_attention_forward(exec, attn::Softmax{}, q.tensor(), k.tensor(), v.tensor(), out.tensor(), saved,
                                         attn::AttentionOptions<AnyMask>{.mask = mask});
    exec.fence();
    std::vector<double> want;
    for (Index i = 0; i < saved.rows().size(); ++i) want.push_back(saved.rows().data()[i].sum);
    EXPECT_SOUND(attn::testing::allclose(got.stats, want, 1e-5));
  }
}

// Which kernels a launch chooses.
TEST(CudaKernels, AreChosenByTheNextLargerWidthAndByLength) {
  auto const width_for = [](Index columns) {
    int width = 0;
    bool const is_served = cuda::with_width(columns, [&](auto w) { width = w(); });
    return is_served ? width : -1;
  };
  EXPECT_EQ(width_for(1), 16);
  EXPECT_EQ(width_for(16), 16);
  EXPECT_EQ(width_for(17), 32);
  EXPECT_EQ(width_for(100), 128);
  EXPECT_EQ(width_for(256), 256);
  EXPECT_EQ(width_for(257), -1);
  EXPECT_EQ(width_for(0), -1);
  EXPECT_EQ(cuda::length_of(5, 5), Length::tiny);
  EXPECT_EQ(cuda::length_of(5, 65), Length::small);
  EXPECT_EQ(cuda::length_of(49, 49), Length::small);
  EXPECT_EQ(cuda::length_of(65, 5), Length::any);
  EXPECT_EQ((cuda::format_for<float, attn::Fp32Products>), Format::fp32);
  EXPECT_EQ((cuda::format_for<float, attn::Tf32Products>), Format::tf32);
  EXPECT_EQ((cuda::format_for<Bf16, attn::Tf32Products>), Format::bf16);
  EXPECT_EQ(cuda::cores_name("tensor cores", Format::bf16, 64), "tensor cores, bf16, width 64");
}

TEST(CudaKernels, CopyChunksOnlyFromRowsThatAreAligned) {
  Kokkos::View<float*, Kokkos::HostSpace> const memory("memory", 4096);
  using X = attn::Tensor<float, 4, Kokkos::HostSpace>;
  EXPECT_TRUE(cuda::has_aligned_rows(X(memory.data(), {2, 2, 3, 8})));
  EXPECT_TRUE(cuda::has_aligned_rows(X(memory.data(), {2, 2, 3, 7}, {64, 32, 8, 1}))) << "the last chunk is cut";
  EXPECT_FALSE(cuda::has_aligned_rows(X(memory.data(), {2, 2, 3, 7})));
  EXPECT_FALSE(cuda::has_aligned_rows(X(memory.data() + 1, {2, 2, 3, 8})));
  EXPECT_TRUE(cuda::has_aligned_rows(X(memory.data(), {1, 1, 3, 8}, {7, 7, 8, 1}))) << "no step of 7 is taken";
}

}  // namespace
