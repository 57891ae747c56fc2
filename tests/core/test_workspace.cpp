#include "attn/core/workspace.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn_test::Memory;
using Workspace = attn::Workspace<Memory>;

TEST(Workspace, GivesAlignedTensorsThatDoNotOverlap) {
  Workspace w;
  auto const a = w.tensor<float>(3, 5);
  auto const b = w.tensor<double>(1);
  auto const c = w.tensor<char>(0);
  auto const d = w.tensor<float>(2);
  for (void const* p : {(void const*)a.data(), (void const*)b.data(), (void const*)d.data()}) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % Workspace::alignment, 0u);
  }
  EXPECT_GE(reinterpret_cast<char*>(b.data()), reinterpret_cast<char*>(a.data() + 15));
  EXPECT_GE(reinterpret_cast<char*>(d.data()), reinterpret_cast<char*>(b.data() + 1));
  EXPECT_EQ(c.size(), 0);
  EXPECT_TRUE(a.is_contiguous());
}

TEST(Workspace, ScopesGiveBackWhatWasTakenInThem) {
  Workspace w;
  w.tensor<float>(10);
  float* inside = nullptr;
  {
    Workspace::Scope const outer(w);
    inside = w.tensor<float>(100).data();
    {
      Workspace::Scope const inner(w);
      w.tensor<float>(1000);
    }
    EXPECT_EQ(w.tensor<float>(1).data(), inside + 128);
  }
  EXPECT_EQ(w.tensor<float>(7).data(), inside);
}

TEST(Workspace, KeepsTensorsWhereTheyAreWhenItGrows) {
  Workspace w;
  Index const n = 300'000;
  std::vector<attn::Tensor<float, 1, Memory>> tensors;
  for (int i = 0; i < 20; ++i) {
    tensors.push_back(w.tensor<float>(n));
    Kokkos::deep_copy(tensors.back().view(), float(i));
  }
  for (int i = 0; i < 20; ++i) {
    auto const numbers = attn::testing::detail::host_numbers(tensors[std::size_t(i)]);
    EXPECT_EQ(numbers.front(), i);
    EXPECT_EQ(numbers.back(), i);
  }
}

TEST(Workspace, HoldsNoMoreAfterASecondStepOfTheSameShape) {
  Workspace w;
  auto const step = [&] {
    w.reset();
    for (Index n : {1'000'000, 5, 3'000'000, 17, 200'000}) {
      Workspace::Scope const scope(w);
      w.tensor<float>(n);
      w.tensor<double>(n / 2);
    }
    for (Index n : {700'000, 700'000, 31}) w.tensor<float>(n);
  };
  step();
  std::size_t const held = w.capacity();
  for (int i = 0; i < 3; ++i) step();
  EXPECT_EQ(w.capacity(), held);
}

TEST(Workspace, HoldsNothingBeforeItIsAsked) { EXPECT_EQ(Workspace().capacity(), 0u); }

}  // namespace
