// The text of the tensor-core kernels with biases of scores, run by emulated blocks of threads, against the reference
// in double: what shares a bias, masks, rows that are not aligned, every cut.
#include <gtest/gtest.h>

#include <utility>

#include "emulated_cases.hpp"

namespace {

using namespace attn_test;
using cuda::Format;
using cuda::Length;
using emulated::full, emulated::causal, emulated::window, emulated::groups;

template <class A>
using Biased = EmulatedInputs<A, attn::NoDropout, true>;

/// For more sequences than two, if all have the same length.
AnyMask of_any_batch(AnyMask mask) {
  if (mask.padding.lengths != emulated::unpadded.data()) return mask;
  static std::array<int, 8> const lengths = {emulated::all, emulated::all, emulated::all, emulated::all,
                                             emulated::all, emulated::all, emulated::all, emulated::all};
  mask.padding.lengths = lengths.data();
  return mask;
}

Shape windows(Index n, Index width) {
  return {.batch = 4, .heads = 2, .kv_heads = 2, .queries = n, .keys = n, .width = width, .value_width = width};
}

template <class K, class A, class Dropout>
void expect_right(EmulatedInputs<A, Dropout, true> in) {
  in.mask = of_any_batch(in.mask);
  SCOPED_TRACE(name_of(in.shape) + ", " + std::to_string(in.shape.biases) + " biases of " +
               std::to_string(in.shape.bias_heads) + " heads");
  EXPECT_SOUND(emulated_is_right<K>(in));
}

using Swin = Kernels<Bf16, 32, Length::small>;

TEST(CudaBias, OfWindowsAgreesWithTheReference) {
  for (AnyMask const& mask : {full(), groups(28, 28)}) {  // a window of 7 x 7, shifted by 3 rows
    for (auto const& [biases, heads] : {std::pair{1, 2}, std::pair{2, 1}, std::pair{4, 2}}) {
      Shape s = windows(49, 32);
      s.biases = biases;
      s.bias_heads = heads;
      expect_right<Swin>(Biased<attn::Softmax>{{}, s, mask});
      expect_right<Swin>(Biased<Dynamic>{dynamic(), s, mask});
    }
  }
}

TEST(CudaBias, OfRowsThatAreAlignedOrNotAgreesWithTheReference) {
  for (Index const n : {1, 8, 48, 49, 63}) {
    for (Layout const& layout : {Layout{false, 0, 0}, Layout{false, 1, 0}, Layout{false, 2, 1}, Layout{true, 1, 2}}) {
      Shape s = windows(n, 20);
      s.batch = 2;
      s.bias_heads = 2;
      expect_right<Swin>(Biased<attn::Softmax>{{}, s, window(9, 30), {}, 0, false, {}, {}, layout});
    }
  }
}

// Several tiles of queries and of keys, of heads that share keys.
TEST(CudaBias, OfLongSequencesAgreesWithTheReference) {
  using K = Kernels<Bf16, 64>;
  Shape const s{.batch = 2, .heads = 4, .kv_heads = 2, .queries = 133, .keys = 71, .width = 64, .value_width = 40};
  Shape by_head = s;
  by_head.bias_heads = 4;
  by_head.biases = 2;
  for (AnyMask const& mask : {full(), window(20, 7)}) expect_right<K>(Biased<attn::Softmax>{{}, s, mask});
  expect_right<K>(Biased<attn::Softmax>{{}, by_head, causal(-3), {}, -0.2, false, {}, {}, {false, 1, 0}});
  for (Shape const& none : {shape(0, 5, 64, 64), shape(5, 0, 64, 64)}) {
    expect_right<K>(Biased<attn::Softmax>{{}, none, full()});
  }
}

TEST(CudaBias, OfOtherFormatsAndWidthsAgreesWithTheReference) {
  using Exact = Kernels<float, 32>;
  for (Index const n : {16, 49, 67}) {
    expect_right<Exact>(Biased<attn::Softmax>{{}, windows(n, 30), causal(), {}, 0, false, {}, {}, {false, 1, 1}});
  }
  expect_right<Kernels<Fp16, 16, Length::tiny>>(Biased<Dynamic>{dynamic(), windows(13, 16), full()});
}

template <class K, class A>
void expect_right_where_keys_are_hidden(A const& a, Index queries) {
  for_hidden_keys(Biased<A>{a, {}}, queries, K::width, [](auto const& in) { expect_right<K>(in); });
}
TEST(CudaBias, OfKeysThatAreHiddenAgreesWithTheReference) {
  expect_right_where_keys_are_hidden<Swin>(attn::Softmax(), 49);
  expect_right_where_keys_are_hidden<Swin>(dynamic(), 49);
  expect_right_where_keys_are_hidden<Kernels<Bf16, 64>>(attn::Softmax(), 90);
  expect_right_where_keys_are_hidden<Kernels<float, 32>>(attn::Softmax(), 67);
  expect_right_where_keys_are_hidden<Kernels<Fp16, 16, Length::tiny>>(dynamic(), 13);
}

// Each lane absorbs the whole row, and its statistics are needed to go back.
TEST(CudaBias, GoesToActivationsOfUsers) {
  expect_right<Kernels<Bf16, 16>>(Biased<SoftmaxWithSink>{{}, windows(70, 16), window(30, 7)});
}

TEST(CudaBias, IsAddedToScoresWhoseWeightsAreDropped) {
  std::uint64_t const step = 3;
  EmulatedInputs<attn::Softmax, attn::AttentionDropout, true> in{{}, windows(49, 32), groups(28, 28)};
  in.dropout = {.rate = 0.3, .key = {.seed = 4}, .step = &step};
  expect_right<Swin>(in);
}

TEST(CudaBias, IsIndifferentToWhatAMaskHides) {
  Biased<attn::Softmax> const all{{}, windows(49, 32), of_any_batch(groups(28, 28))};
  for (int array = 0; array < 4; ++array) {
    auto in = all;
    in.spoilt = {array, 30};
    SCOPED_TRACE("array " + std::to_string(array));
    EXPECT_SOUND(are_right_where_finite(run_emulated<Swin>(in), run_reference<Bf16>(in), in.shape,
                                        promised_error(Swin::format)));
  }
}

}  // namespace
