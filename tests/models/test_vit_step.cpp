// Promises about a whole training step: no memory after the first, the same bits for any number of threads, and that
// numbers of two bytes between modules change it by roundings alone.
#include "attn/activation/poly.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/optim/adamw.hpp"

#include <cmath>
#include <numeric>

#include "golden_vit.hpp"

namespace {

using namespace attn;
using attn_test::Ctx;
using attn_test::Exec;
using attn_test::Vit;

template <class A>
struct Training {
  Ctx<float> ctx;
  Vit<A> model;
  attn_test::Array<float, 4> images;
  attn_test::Array<std::int32_t, 1> labels;

  /// Tokens: a class token and 49 patches, as on Fashion-MNIST; widths that no vector divides in the small case.
  Training(Index batch, Index width, Exec const& exec = Exec())
      : ctx(1, exec),
        model(ctx, {.width = width,
                    .depth = 2,
                    .heads = 2,
                    .image_height = 28,
                    .image_width = 28,
                    .channels = 1,
                    .patch_height = 4,
                    .patch_width = 4,
                    .classes = 10,
                    .dropout = 0.1,
                    .stochastic_depth = 0.2}),
        images(attn_test::random_array<float, 4>({batch, 1, 28, 28}, 1)),
        labels({batch}, std::vector<double>(std::size_t(batch), 3.0)) {}

  double step() { return step(ctx); }

  /// With tensors of T, over the parameters of `ctx`.
  template <class T>
  double step(Ctx<T>& typed) {
    typed.begin_step();
    auto [logits, tape] = model.forward(typed, nn::converted<T>(typed, images.tensor()));
    auto [loss, d_logits] = nn::cross_entropy(typed, logits, labels.tensor(), {.label_smoothing = 0.1});
    ctx.parameters.zero_gradients(ctx.exec);
    model.backward(typed, std::move(tape), d_logits);
    ++typed.step;
    return loss.mean();
  }
};

/// Calls of Kokkos' allocation callback while `f` runs.
int allocations = 0;
template <class F>
int count_allocations(F const& f) {
  allocations = 0;
  Kokkos::Tools::Experimental::set_allocate_data_callback(
      [](Kokkos::Tools::SpaceHandle, char const*, void const*, std::uint64_t) { ++allocations; });
  f();
  Kokkos::fence();
  Kokkos::Tools::Experimental::set_allocate_data_callback(nullptr);
  return allocations;
}

template <class A>
void expect_no_allocation() {
  Training<A> training(16, 24);
  EXPECT_GT(count_allocations([&] { training.step(); }), 0);  // the callback works
  EXPECT_EQ(count_allocations([&] {
              for (int i = 0; i < 3; ++i) training.step();
            }),
            0);
  training.ctx.training = false;
  auto const evaluate = [&] {
    training.ctx.begin_step();
    training.model.forward(training.ctx, training.images.tensor());
  };
  evaluate();
  EXPECT_EQ(count_allocations(evaluate), 0);
}

TEST(TrainingStep, AllocatesNothingAfterTheFirst) {
  expect_no_allocation<Softmax>();
  expect_no_allocation<Poly<3>>();
  expect_no_allocation<Poly<3, DynamicScale>>();
}

template <class A>
void expect_same_bits() {
  for (auto const [batch, width] : {std::array<Index, 2>{3, 10}, {64, 32}}) {
    Training<A> all(batch, width), one(batch, width, attn_test::one_thread());
    for (int i = 0; i < 2; ++i) EXPECT_EQ(all.step(), one.step());
    EXPECT_SOUND(attn::testing::same_bits(one.ctx.parameters.gradients(), all.ctx.parameters.gradients()));
    Training<A> again(batch, width);
    for (int i = 0; i < 2; ++i) again.step();
    EXPECT_SOUND(attn::testing::same_bits(again.ctx.parameters.gradients(), all.ctx.parameters.gradients()));
  }
}

TEST(TrainingStep, GivesTheSameBitsForOneThreadAndForAllAndFromRunToRun) {
  if (Exec().concurrency() < 2) GTEST_SKIP() << "one thread only: set OMP_NUM_THREADS=2";
  expect_same_bits<Softmax>();
  expect_same_bits<Poly<3, DynamicScale>>();
}

TEST(TrainingStep, LearnsASmallBatchByHeart) {
  Training<Poly<3, DynamicScale>> training(8, 24);
  double const first = training.step();
  double last = first;
  for (int i = 0; i < 30; ++i) {
    auto const values = training.ctx.parameters.values(), gradients = training.ctx.parameters.gradients();
    linalg::gemm(training.ctx.exec, -0.5f, gradients.reshape<2>({1, gradients.size()}).transpose(0, 1),
                 attn_test::Array<float, 2>({1, 1}, {1}).tensor(), 1.0f, values.reshape<2>({values.size(), 1}));
    last = training.step();
  }
  EXPECT_LT(last, 0.6 * first);
}

TEST(TrainingStep, InBf16HasTheGradientsOfFp32UpToRoundings) {
  Training<Poly<3, DynamicScale>> training(16, 24);
  auto const gradients = [&] { return attn::testing::detail::host_numbers(training.ctx.parameters.gradients()); };
  auto const norm = [](std::vector<double> const& x) {
    return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
  };
  Ctx<BFloat16> narrow(training.ctx);  // before the step: both draw the same dropout
  double const loss = training.step();
  auto const want = gradients();
  EXPECT_NEAR(training.step(narrow), loss, 1e-2 * loss);
  auto difference = gradients();
  for (std::size_t i = 0; i < want.size(); ++i) difference[i] -= want[i];
  EXPECT_LT(norm(difference), 3e-2 * norm(want));
  EXPECT_GT(norm(difference), 1e-4 * norm(want)) << "it computed in fp32";
}

TEST(TrainingStep, InBf16LearnsASmallBatchByHeart) {
  Training<Poly<3, DynamicScale>> training(8, 24);
  optim::AdamW adamw(training.ctx, {.learning_rate = 3e-3});
  Ctx<BFloat16> narrow(training.ctx);
  double const first = training.step(narrow);
  double last = first;
  for (int i = 0; i < 40; ++i) {
    last = training.step(narrow);
    adamw.step(training.ctx);
  }
  EXPECT_LT(last, 0.6 * first);
}

}  // namespace
