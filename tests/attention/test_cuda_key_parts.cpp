// Long rows whose keys go to many blocks, and heads whose queries share a tile, by emulated blocks of threads against
// the reference in double; and how many parts a call gets.
#include "attn/attention/detail/cuda/forward_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "emulated_cases.hpp"

namespace {

using namespace attn_test;
using cuda::Length;
using emulated::full, emulated::causal, emulated::window, emulated::lengths, emulated::groups;

/// The output and the normalizers of a forward pass with keys in so many parts, as launches would have it.
template <class K, class A, class Dropout, bool has_bias>
EmulatedOutputs run_in_parts(EmulatedInputs<A, Dropout, has_bias> const& in, int n_parts) {
  using X = typename K::X;
  using T = attn::Tensor<X, 4, Kokkos::HostSpace>;
  using Stats = attn::detail::StatsOf<A, float>;
  using Bias = typename EmulatedInputs<A, Dropout, has_bias>::Bias;
  constexpr bool joins = K::length == Length::tiny && std::same_as<Dropout, attn::NoDropout> && !has_bias;
  Shape const& s = in.shape;
  StoredInputs<X> const stored(in);
  auto const &q = stored.q, &k = stored.k, &v = stored.v;
  Stored<X> const out({s.batch, s.heads, s.queries, s.value_width}, in.layout);
  bool const aligned = cuda::has_aligned_rows(q.tensor()) && cuda::has_aligned_rows(k.tensor()) &&
                       cuda::has_aligned_rows(v.tensor()) && cuda::has_aligned_rows(out.tensor());
  int const joined = joins && s.queries == 1 ? int(s.heads / s.kv_heads) : 1;
  auto const mask = [&, &in = in] {
    if constexpr (joins) {
      return cuda::join_heads_of_mask(in.mask, joined);
    } else {
      return in.mask;
    }
  }();
  EmulatedStats<A> stats(in);
  using Parts = cuda::RowParts<Stats>;
  std::vector<std::byte> memory(std::size_t(Parts::bytes(in.rows(), s.value_width, n_parts)), std::byte(0xff));  // NaN
  Parts const parts = n_parts > 1 ? Parts::in(memory.data(), in.rows(), s.value_width, n_parts) : Parts{};
  using TileShape = cuda::ForwardTileShape<K::format, K::width, K::length>;
  EmulatedOutputs result;
  result.conflicts = emulate(
      cuda::Forward<K::format, K::width, TileShape, A, T, T, T, T, std::remove_const_t<decltype(mask)>, Dropout, Bias>{
          in.activation, cuda::join_heads(q.tensor(), joined), k.tensor(), v.tensor(),
          cuda::join_heads(out.tensor(), joined), stats.saved(), mask, in.scale(), aligned, in.dropout,
          stored.template bias_of_scores<Bias>(), joined, parts});
  if (n_parts > 1) {
    cuda::CombineParts<A, T, AnyMask> const combine{in.activation, out.tensor(), stats.saved(),
                                                    in.mask,       int(s.keys),  parts};
    for (Index i = 0; i < combine.size(); ++i) combine(i);
  }
  result.out = out.numbers();
  result.gaps_are_untouched = out.gaps_are_untouched();
  result.stats = stats.normalizers(in.activation);
  return result;
}

template <class K, class A, class Dropout = attn::NoDropout, bool has_bias = false>
void expect_right(EmulatedInputs<A, Dropout, has_bias> const& in, std::initializer_list<int> parts) {
  auto const want = run_reference<typename K::X>(in);
  auto const whole = run_in_parts<K>(in, 1);
  for (int const n : parts) {
    SCOPED_TRACE(name_of(in.shape) + ", " + std::to_string(n) + " parts");
    auto const got = run_in_parts<K>(in, n);
    EXPECT_LE(relative_error(got.out, want.out), promised_error(K::format));
    EXPECT_SOUND(attn::testing::allclose(got.stats, whole.stats, 1e-5));
    EXPECT_TRUE(got.gaps_are_untouched);
    EXPECT_EQ(got.conflicts, 0);
  }
}

Shape decoding(Index heads, Index kv_heads, Index keys, Index queries = 1) {
  return {.batch = 2,
          .heads = heads,
          .kv_heads = kv_heads,
          .queries = queries,
          .keys = keys,
          .width = 64,
          .value_width = 64};
}
using Few = Kernels<Bf16, 64, Length::tiny>;

TEST(CudaKeyParts, AgreeWithTheReference_ForOneQueryOfHeadsThatShareKeys) {
  std::array<int, 2> const some = {166, 20};
  for (AnyMask const& mask : {full(), causal(199), causal(30), lengths(some)}) {
    expect_right<Few, attn::Softmax>({{}, decoding(4, 2, 200), mask}, {1, 3, 13, 20});
    expect_right<Few, Dynamic>({dynamic_by_heads(), decoding(4, 2, 200), mask}, {1, 3, 20});
  }
  expect_right<Few, attn::Softmax>({{}, decoding(20, 1, 100), causal(80), {true, 8, 8}}, {1, 2});  // in two tiles
  expect_right<Few, Dynamic>({dynamic_by_heads(), decoding(4, 1, 5), full()}, {1, 2});
}

TEST(CudaKeyParts, AgreeWithTheReference_ForFewQueries) {
  for (AnyMask const& mask : {full(), causal(105), window(3, -1), groups(2, 40)}) {
    expect_right<Few, attn::Softmax>({{}, decoding(2, 1, 110, 5), mask, {true, 0, 1}}, {2, 7});
    expect_right<Few, Dynamic>({dynamic(), decoding(2, 1, 110, 5), mask}, {2, 7});
  }
  Shape s = decoding(2, 2, 300, 16);
  s.width = 20, s.value_width = 31;
  expect_right<Kernels<float, 32, Length::tiny>, attn::Softmax>({{}, s, causal(284)}, {4});
}

TEST(CudaKeyParts, AgreeWithTheReference_ForTilesOfManyQueries) {
  expect_right<Kernels<Bf16, 64>, attn::Softmax>({{}, shape(150, 400, 64, 64), causal(250)}, {3});
}

TEST(CudaKeyParts, AgreeWithTheReference_WhereWeightsAreDropped) {
  attn::AttentionDropout const dropout{.rate = 0.3, .key = {.seed = 4}};
  EmulatedInputs<attn::Softmax, attn::AttentionDropout> const in{
      {}, decoding(2, 1, 110, 5), window(60, 30), {}, 0, false, {}, dropout};
  expect_right<Few>(in, {1, 4});
}

TEST(CudaKeyParts, AgreeWithTheReference_WhereScoresHaveABias) {
  Shape s = decoding(4, 2, 110);
  s.bias_heads = 4;
  for (Index const queries : {1, 5}) {
    s.queries = queries;
    expect_right<Few>(EmulatedInputs<Dynamic, attn::NoDropout, true>{dynamic_by_heads(), s, window(60, 105)}, {1, 4});
  }
}

TEST(CudaKeyParts, AreIndifferentToWhatAMaskHides) {
  std::array<int, 2> const some = {70, 1};
  EmulatedInputs<attn::Softmax> const padded{{}, decoding(2, 1, 90, 3), lengths(some), {}, 0, true};
  expect_right<Few, attn::Softmax>(padded, {1, 4});
  for_spoilt(EmulatedInputs<attn::Softmax>{{}, decoding(2, 1, 90, 4), causal(84)}, [](auto const& in) {
    if (in.spoilt.array == 3) return;
    auto const want = run_reference<Bf16>(in);
    auto const got = run_in_parts<Few>(in, 3);
    for (std::size_t first = 0; first < want.out.size(); first += 64) {  // row by row
      auto const row = [&](std::vector<double> const& x) {
        return std::vector<double>(x.begin() + std::ptrdiff_t(first), x.begin() + std::ptrdiff_t(first + 64));
      };
      auto const is_finite = [](double x) { return std::isfinite(x); };
      auto const wanted = row(want.out), had = row(got.out);
      if (std::all_of(wanted.begin(), wanted.end(), is_finite)) {
        EXPECT_LE(relative_error(had, wanted), promised_error(Few::format)) << first / 64;
      } else {
        EXPECT_FALSE(std::all_of(had.begin(), had.end(), is_finite)) << first / 64;
      }
    }
  });
}

TEST(CudaKeyParts, AreAsManyAsAModelOfWavesTakesTheLeastTimeWith) {
  cuda::KeySplit const one{
      .blocks = 8, .steps = 2048, .places = 1056, .extra_steps = 1, .least_steps = 16, .room = 512};
  EXPECT_EQ(cuda::key_parts(one), 128) << "the most; 8 blocks of 16 steps each";
  auto const with = [&](auto const& change) {
    cuda::KeySplit s = one;
    change(s);
    return cuda::key_parts(s);
  };
  EXPECT_EQ(with([](auto& s) { s.steps = 31; }), 1) << "two parts would have fewer keys than a part must have";
  EXPECT_EQ(with([](auto& s) { s.steps = 64; }), 4);
  EXPECT_EQ(with([](auto& s) { s.room = 5; }), 5);
  EXPECT_EQ(with([](auto& s) { s.room = 0; }), 1);
  EXPECT_EQ(with([](auto& s) { s.blocks = 1056; }), 1) << "there is work for all";
  EXPECT_EQ(with([](auto& s) { s.blocks = 300; }), 7) << "2100 of 2112 places in two waves";
  EXPECT_EQ(with([](auto& s) { s.steps = 32, s.extra_steps = 40; }), 1) << "sums would cost more than keys";
}

TEST(CudaKeyParts, AreForFewQueriesOfFewHeads) {
  using X = attn::Tensor<Bf16 const, 4, Kokkos::HostSpace>;
  auto const plan = [](Index batch, Index heads, Index kv_heads, Index queries, Index keys, auto const& a) {
    X const q(nullptr, {batch, heads, queries, 64}), k(nullptr, {batch, kv_heads, keys, 64});
    return cuda::forward_plan<cuda::Format::bf16, 64, std::remove_cvref_t<decltype(a)>, attn::AttentionOptions<>>(
        132, q, k, k);
  };
  auto const decoding = plan(1, 32, 8, 1, 32768, attn::Softmax());
  EXPECT_EQ(decoding.length, Length::tiny);
  EXPECT_EQ(decoding.joined_heads, 4);
  EXPECT_EQ(decoding.parts, 128);
  EXPECT_EQ(plan(1, 32, 8, 2, 32768, attn::Softmax()).joined_heads, 1) << "more than one query of each head";
  EXPECT_EQ(plan(512, 32, 8, 1, 32768, attn::Softmax()).parts, 1) << "4096 blocks";
  EXPECT_EQ(plan(1, 8, 8, 4096, 4096, attn::Softmax()).parts, 1) << "training";
  EXPECT_GT(plan(1, 8, 8, 300, 65536, dynamic()).parts, 1);
  EXPECT_EQ(plan(1, 8, 8, 0, 512, dynamic()).parts, 1);
  EXPECT_EQ(plan(1, 8, 8, 512, 0, dynamic()).parts, 1);
  auto const unmerged = plan(1, 32, 8, 1, 32768, SoftmaxWithSink());
  EXPECT_EQ(unmerged.parts, 1) << "it does not say how to merge statistics";
  EXPECT_EQ(unmerged.joined_heads, 1);
  EXPECT_EQ(unmerged.length, Length::small);
}

}  // namespace
