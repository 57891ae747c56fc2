// Dropout of weights in the tensor-core kernels, by emulated blocks of threads, against the reference in double: the
// weights that are dropped are the reference's, in both passes, wherever tiles of keys start.
#include <gtest/gtest.h>

#include "emulated_cases.hpp"

namespace {

using namespace attn_test;
using attn::AttentionDropout;
using cuda::Length;
using emulated::full, emulated::window, emulated::groups;

template <class K, class A>
void expect_right(EmulatedInputs<A, AttentionDropout> in) {
  SCOPED_TRACE(name_of(in.shape));
  std::uint64_t const step = 3;
  in.dropout = {.rate = 0.3, .key = {.seed = 4}, .step = &step};
  EXPECT_SOUND(emulated_is_right<K>(in));
}
template <class K, class A>
void expect_right(A const& a, Shape const& s, AnyMask const& mask) {
  expect_right<K>(EmulatedInputs<A, AttentionDropout>{.activation = a, .shape = s, .mask = mask});
}
template <class K, class A>
void expect_right_where_keys_are_hidden(A const& a, Index queries) {
  for_hidden_keys(EmulatedInputs<A, AttentionDropout>{a, {}}, queries, K::width,
                  [](auto const& in) { expect_right<K>(in); });
}

TEST(CudaDropout, AgreesWithTheReference) {
  using K = Kernels<Bf16, 64>;
  Shape const s{.batch = 2, .heads = 2, .kv_heads = 1, .queries = 35, .keys = 90, .width = 64, .value_width = 64};
  for (AnyMask const& mask : {full(), window(9, 50)}) {
    expect_right<K>(attn::Softmax{}, s, mask);
    expect_right<K>(dynamic(), s, mask);
  }
  expect_right<K>(attn::Softmax{}, shape(70, 133, 64, 64), groups(30, 51));
  expect_right_where_keys_are_hidden<K>(attn::Softmax{}, 90);
  expect_right_where_keys_are_hidden<K>(dynamic(), 90);
}

TEST(CudaDropout, AgreesWithTheReference_InShortSequencesOfFloats) {
  using K = Kernels<float, 16, Length::tiny>;
  for (Index const n : {1, 5, 16}) expect_right<K>(attn::Softmax{}, square(n, 16), full());
  expect_right<K>(attn::Softmax{}, shape(16, 60, 16, 16), window(3, 11));
  expect_right_where_keys_are_hidden<K>(attn::Softmax{}, 16);
}

}  // namespace
