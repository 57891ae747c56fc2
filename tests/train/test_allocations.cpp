// A training step of a vision transformer takes no memory for tensors after the first one.
#include "attn/activation/activation.hpp"
#include "attn/data/batches.hpp"
#include "attn/data/on_device.hpp"
#include "attn/models/vit.hpp"
#include "attn/nn/loss.hpp"
#include "attn/optim/adamw.hpp"
#include "attn/train/fit.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <sstream>

namespace {

using namespace attn;
using namespace attn::train;
using Ctx = nn::Context<Kokkos::DefaultExecutionSpace>;

std::atomic<int> allocations = 0;  // batches are prepared on another thread

/// 40 images of 8 x 8 in three classes.
data::Dataset images() {
  data::Dataset set{.count = 40, .height = 8, .width = 8, .classes = 3};
  for (std::size_t i = 0; i < set.count; ++i) set.labels.push_back(static_cast<std::int32_t>(i % 3));
  for (std::size_t i = 0; i < set.count * 64; ++i) {
    set.images.push_back(static_cast<std::uint8_t>(random_bits(RandomKey{.seed = 1}, i) % 256));
  }
  set.normalization = data::channel_statistics(set);
  return set;
}

template <class Activation>
struct VitTask {
  models::Vit<models::VitBlock<Activation>> model;
  data::Dataset set = images();
  data::BatchOptions options{.batch_size = 8,
                             .augmentation = {.crop_padding = 1, .flip_probability = 0.5, .erase_probability = 0.5},
                             .mixing = {.mixup_alpha = 0.8, .cutmix_alpha = 1},
                             .smoothing = 0.1};
  std::optional<data::TrainingBatches<float>> batches;
  std::vector<int> allocations_before;  // of each step

  explicit VitTask(Ctx& ctx)
      : model(ctx, {.width = 24,
                    .depth = 3,
                    .heads = 3,
                    .image_height = 8,
                    .image_width = 8,
                    .channels = 1,
                    .patch_height = 2,
                    .patch_width = 2,
                    .classes = 3,
                    .dropout = 0.1,
                    .stochastic_depth = 0.2}) {}

  std::uint64_t steps_per_epoch() const { return 5; }
  std::uint64_t items_per_step() const { return 8; }
  void start(std::uint64_t) { batches.emplace(set, options); }

  Tensor<float const, 1> step(Ctx& ctx, bool) {
    allocations_before.push_back(allocations.exchange(0));
    auto const& batch = batches->next();
    auto [logits, tape] = model.forward(ctx, data::on_device(ctx, batch.images()));
    auto [loss, d_logits] = nn::cross_entropy(ctx, logits, data::on_device(ctx, batch.targets()));
    model.backward(ctx, std::move(tape), d_logits);
    return loss.numbers();
  }
  Metrics measured() const { return {{"loss", 1}}; }
  Metrics observations() const { return {}; }
  Metrics evaluate(Ctx&) { return {}; }
  std::vector<std::string> observed() const { return {}; }
  std::vector<std::string> evaluated() const { return {}; }
};

template <class Activation>
class Allocations : public ::testing::Test {};
using Activations = ::testing::Types<Softmax, Poly<3>, Poly<3, DynamicScale>, Relu>;
TYPED_TEST_SUITE(Allocations, Activations);

TYPED_TEST(Allocations, OfTrainingSteps_EndWithTheFirst) {
  Ctx ctx(1);
  VitTask<TypeParam> task(ctx);
  optim::AdamW adamw(ctx, {.weight_decay = 0.05});
  std::ostringstream printed;
  FitOptions const options{
      .epochs = 4, .clip = 1, .ema = optim::EmaOptions{}, .progress = {.stream = &printed, .terminal = false}};
  using namespace Kokkos::Tools::Experimental;
  auto const before = get_callbacks();
  set_allocate_data_callback(
      [](Kokkos_Profiling_SpaceHandle, char const*, void const*, std::uint64_t) { ++allocations; });
  fit(ctx, task, adamw, optim::Constant{1e-3}, options);
  set_callbacks(before);
  ASSERT_EQ(task.allocations_before.size(), 20u);
  EXPECT_GT(task.allocations_before[1], 0) << "nothing was counted";
  for (std::size_t step = 2; step < 20; ++step) EXPECT_EQ(task.allocations_before[step], 0) << "in step " << step;
}

}  // namespace
