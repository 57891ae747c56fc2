#include "attn/data/batches.hpp"

#include <Kokkos_Core.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "data/golden_images.hpp"
#include "data/images.hpp"
#include "io/files.hpp"

namespace {

using namespace attn::testing;
using namespace attn::data;

/// All that a batch holds, to compare bit by bit.
struct Copy {
  std::vector<std::size_t> indices;
  std::vector<float> images, targets;
  std::vector<std::int32_t> labels;
  std::uint64_t epoch, index;
  bool operator==(Copy const&) const = default;
};

Copy copy_of(Batch<float> const& batch) {
  auto const all = [](auto const& view) { return std::vector(view.data(), view.data() + view.size()); };
  return {batch.indices, all(batch.images()), all(batch.targets()), all(batch.labels()), batch.epoch, batch.index};
}

BatchOptions everything(std::size_t batch_size) {
  return {.batch_size = batch_size,
          .key = {11, 5},
          .augmentation = {.crop_padding = 1, .flip_probability = 0.5, .erase_probability = 0.25},
          .mixing = {.mixup_alpha = 0.8, .cutmix_alpha = 1},
          .smoothing = 0.1};
}

TEST(TrainingBatches, EveryEpochHoldsEveryImageOnceInAnotherOrder) {
  Dataset const data = numbered_images(24, 1, 3, 4, 5);
  TrainingBatches<> batches(data, {.batch_size = 4, .key = {1, 0}});
  EXPECT_EQ(batches.batches_per_epoch(), 6u);
  std::vector<std::vector<std::size_t>> epochs;
  for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<std::size_t>& order = epochs.emplace_back();
    for (std::uint64_t index = 0; index < 6; ++index) {
      Batch<float> const& batch = batches.next();
      EXPECT_EQ(batch.epoch, epoch);
      EXPECT_EQ(batch.index, index);
      ASSERT_EQ(batch.size(), 4u);
      order.insert(order.end(), batch.indices.begin(), batch.indices.end());
    }
    EXPECT_EQ(std::set<std::size_t>(order.begin(), order.end()).size(), 24u);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
}

TEST(TrainingBatches, HoldTheImagesAndLabelsTheySay) {
  Dataset const data = numbered_images(10, 2, 3, 4, 5);
  TrainingBatches<> batches(data, {.batch_size = 5, .key = {1, 0}});
  Normalizer<float> const normalizer(data.normalization);
  Batch<float> const& batch = batches.next();
  EXPECT_EQ(batch.images().extent(1), 2u);
  EXPECT_EQ(batch.images().extent(2), 3u);
  EXPECT_EQ(batch.images().extent(3), 4u);
  for (std::size_t b = 0; b < 5; ++b) {
    std::size_t const image = batch.indices[b];
    EXPECT_EQ(batch.labels()(b), data.labels[image]);
    for (int c = 0; c < 5; ++c) EXPECT_EQ(batch.targets()(b, c), c == data.labels[image] ? 1.0f : 0.0f);
    for (std::size_t p = 0; p < 24; ++p) {
      EXPECT_EQ(batch.images().data()[24 * b + p], normalizer(p / 12, data.image(image)[p]));
    }
  }
}

TEST(TrainingBatches, LastPartialBatchIsKeptOnlyOnRequest) {
  Dataset const data = numbered_images(11, 1, 2, 2, 3);
  TrainingBatches<> dropping(data, {.batch_size = 4});
  EXPECT_EQ(dropping.batches_per_epoch(), 2u);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(dropping.next().size(), 4u);
  TrainingBatches<> keeping(data, {.batch_size = 4, .mixing = {.mixup_alpha = 1}, .drop_last = false});
  EXPECT_EQ(keeping.batches_per_epoch(), 3u);
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (std::size_t const size : {4u, 4u, 3u}) {
      Batch<float> const& batch = keeping.next();
      EXPECT_EQ(batch.size(), size);
      EXPECT_EQ(batch.images().extent(0), size);
      EXPECT_EQ(batch.targets().extent(0), size);
    }
  }
}

TEST(TrainingBatches, SameKeySameBits) {
  Dataset const data = numbered_images(30, 1, 8, 8, 5);
  TrainingBatches<> first(data, everything(8)), second(data, everything(8));
  BatchOptions other = everything(8);
  other.key.seed = 12;
  TrainingBatches<> third(data, other);
  for (int i = 0; i < 10; ++i) {
    Copy const copy = copy_of(first.next());
    EXPECT_EQ(copy_of(second.next()), copy);
    EXPECT_NE(copy_of(third.next()), copy);
  }
}

TEST(TrainingBatches, AnyNumberOfWorkersGivesTheSameBits) {
  Dataset const data = numbered_images(25, 3, 5, 4, 6);
  std::vector<Copy> reference;
  for (std::size_t const workers : {1, 2, 5}) {
    BatchOptions options = everything(7);
    options.workers = workers;
    TrainingBatches<> batches(data, options);
    EvaluationBatches<> evaluation(data, 7, workers);
    for (std::size_t b = 0; b < 10; ++b) {
      Copy const copy = copy_of(batches.next());
      if (workers == 1) reference.push_back(copy);
      EXPECT_EQ(copy, reference[b]) << workers << " workers, batch " << b;
    }
    std::size_t images = 0;
    while (auto const* batch = evaluation.next()) {
      for (std::size_t const index : batch->indices) EXPECT_EQ(index, images++);
    }
    EXPECT_EQ(images, 25u);
  }
}

TEST(TrainingBatches, ResumeAnywhereWithTheSameBits) {
  Dataset const data = numbered_images(30, 1, 8, 8, 5);
  for (bool const drop_last : {true, false}) {
    BatchOptions options = everything(8);
    options.drop_last = drop_last;
    std::vector<Copy> whole;
    TrainingBatches<> batches(data, options);
    for (int i = 0; i < 12; ++i) whole.push_back(copy_of(batches.next()));
    for (std::size_t start = 0; start < 12; ++start) {
      options.first_epoch = start / batches.batches_per_epoch();
      options.first_batch = start % batches.batches_per_epoch();
      TrainingBatches<> resumed(data, options);
      for (std::size_t i = start; i < 12; ++i) EXPECT_EQ(copy_of(resumed.next()), whole[i]) << start << " " << i;
    }
  }
}

TEST(TrainingBatches, AugmentationOfAnImageDoesNotDependOnTheBatchSize) {
  Dataset const data = numbered_images(12, 1, 8, 8, 5);
  BatchOptions options = everything(12);
  options.mixing = {};
  TrainingBatches<> large(data, options);
  options.batch_size = 3;
  TrainingBatches<> small(data, options);
  Copy const all = copy_of(large.next());
  for (std::size_t i = 0; i < 4; ++i) {
    Copy const part = copy_of(small.next());
    EXPECT_TRUE(std::equal(part.images.begin(), part.images.end(), all.images.begin() + std::ptrdiff_t(3 * 64 * i)));
  }
}

TEST(TrainingBatches, RepeatEveryImageThreeTimesAsTimmsSamplerDoes) {
  Dataset const data = numbered_images(600, 1, 8, 8, 5);
  BatchOptions const options{.batch_size = 8, .key = {3, 0}, .augmentation = {.erase_probability = 1}, .repeats = 3};
  TrainingBatches<> batches(data, options);
  EXPECT_EQ(batches.batches_per_epoch(), 64u);  // 512 of 600
  EXPECT_EQ(batches_per_epoch(1281167, {.batch_size = 1024, .repeats = 3}), 1251u);
  EXPECT_EQ(batches_per_epoch(100, {.batch_size = 10, .repeats = 3}), 10u);
  std::vector<std::size_t> numbers;
  std::vector<std::vector<float>> images;
  for (int i = 0; i < 64; ++i) {
    Batch<float> const& batch = batches.next();
    EXPECT_EQ(batch.epoch, 0u);
    numbers.insert(numbers.end(), batch.indices.begin(), batch.indices.end());
    for (std::size_t b = 0; b < 8; ++b) {
      float const* const p = batch.images().data() + 64 * b;
      images.emplace_back(p, p + 64);
    }
  }
  EXPECT_EQ(batches.next().epoch, 1u);
  // timm's sampler, for another order: the same place in the order for each place in the epoch.
  auto const order = golden_numbers<std::int64_t>("repeated_order");
  auto const repeated = golden_numbers<std::int64_t>("repeated_numbers");
  ASSERT_EQ(repeated.size(), numbers.size());
  for (std::size_t i = 0; i < repeated.size(); ++i) {
    EXPECT_EQ(repeated[i], order[i / 3]);
    EXPECT_EQ(numbers[i], numbers[i / 3 * 3]);
  }
  std::set<std::size_t> const distinct(numbers.begin(), numbers.end());
  EXPECT_EQ(distinct.size(), 171u);
  EXPECT_TRUE(images[0] != images[1] && images[1] != images[2] && images[0] != images[2]) << "each augmented anew";
}

TEST(TrainingBatches, MixesWholeBatches) {
  Dataset const data = numbered_images(16, 1, 8, 8, 2);
  TrainingBatches<> batches(data, {.batch_size = 16, .mixing = {.mixup_alpha = 1}});
  Normalizer<float> const normalizer(data.normalization);
  Batch<float> const& batch = batches.next();
  EXPECT_EQ(batch.mix.kind, MixKind::mixup);
  float const own = static_cast<float>(batch.mix.ratio);
  for (std::size_t b = 0; b < 16; ++b) {
    for (std::size_t p = 0; p < 64; ++p) {
      float const a = normalizer(0, data.image(batch.indices[b])[p]);
      float const partner = normalizer(0, data.image(batch.indices[15 - b])[p]);
      EXPECT_NEAR(batch.images().data()[64 * b + p], own * a + (1 - own) * partner, 1e-6);
    }
  }
}

TEST(TrainingBatches, PresentBatchStaysWhileTheNextIsPrepared) {
  Dataset const data = numbered_images(64, 1, 8, 8, 5);
  TrainingBatches<> batches(data, everything(8));
  for (int i = 0; i < 20; ++i) {
    Batch<float> const& batch = batches.next();
    Copy const before = copy_of(batch);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    EXPECT_EQ(copy_of(batch), before);
  }
}

std::atomic<int> allocations = 0;
void count_allocation(Kokkos::Tools::SpaceHandle, char const*, void const*, std::uint64_t) { ++allocations; }

TEST(TrainingBatches, AllocateNoTensorMemoryAfterTheStart) {
  Dataset const data = numbered_images(30, 1, 8, 8, 5);
  TrainingBatches<> batches(data, everything(8));
  EvaluationBatches<> evaluation(data, 7);
  batches.next();
  Kokkos::Tools::Experimental::set_allocate_data_callback(&count_allocation);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(batches.next().images().extent(0), 8u);
    evaluation.rewind();
    while (evaluation.next() != nullptr) {
    }
  }
  EXPECT_EQ(allocations, 0);
  Kokkos::View<float*> const one("one", 1);
  EXPECT_EQ(allocations, 1) << "the count works";
  Kokkos::Tools::Experimental::set_allocate_data_callback(nullptr);
}

TEST(TrainingBatches, RefuseImpossibleOptions) {
  Dataset const data = numbered_images(10, 1, 2, 2, 3);
  EXPECT_ERROR((TrainingBatches<>(data, {.batch_size = 0})), "a batch_size from 1 to the 10 images, not 0");
  EXPECT_ERROR((TrainingBatches<>(data, {.batch_size = 11})), "a batch_size from 1 to the 10 images, not 11");
  EXPECT_ERROR((TrainingBatches<>(data, {.batch_size = 5, .smoothing = 1})), "smoothing");
  EXPECT_ERROR((TrainingBatches<>(data, {.batch_size = 5, .repeats = 0})), "from 1 to 10 repeats of an image, not 0");
  EXPECT_ERROR((TrainingBatches<>(data, {.batch_size = 5, .first_batch = 2})), "start at one of the 2 batches");
  EXPECT_ERROR((TrainingBatches<>(data, {.batch_size = 5, .augmentation = {.crop_padding = -1}})), "crop_padding");
  EXPECT_ERROR((TrainingBatches<>(data, {.batch_size = 5, .mixing = {.mixup_alpha = -1}})), "alpha");
  Dataset bad = data;
  bad.labels[0] = 99;
  EXPECT_ERROR(TrainingBatches<>(bad, {.batch_size = 5}), "label 99 of image 0 is out of range");
  EXPECT_ERROR(EvaluationBatches<>(data, 0), "batch_size of at least 1");
}

TEST(EvaluationBatches, GoThroughAllImagesInOrderEveryTime) {
  for (std::size_t const count : {1u, 7u, 8u, 9u}) {
    Dataset const data = numbered_images(count, 1, 3, 3, 3);
    Normalizer<double> const normalizer(data.normalization);
    EvaluationBatches<double> batches(data, 4);
    for (int round = 0; round < 2; ++round) {
      std::size_t seen = 0;
      while (auto const* batch = batches.next()) {
        for (std::size_t b = 0; b < batch->size(); ++b, ++seen) {
          EXPECT_EQ(batch->indices[b], seen);
          EXPECT_EQ(batch->labels()(b), data.labels[seen]);
          EXPECT_EQ(batch->images()(b, 0, 2, 1), normalizer(0, data.image(seen)[7]));
          EXPECT_EQ(batch->targets()(b, data.labels[seen]), 1.0);
        }
      }
      EXPECT_EQ(seen, count);
      batches.rewind();
    }
  }
}

TEST(TrainingBatches, InParts_AreSharedByRanksAsByOne) {
  Dataset const data = numbered_images(20, 1, 3, 4, 5);
  for (std::size_t const repeats : {1, 3}) {
    BatchOptions options = everything(7);  // of 7 images, parts of 2, 2, 2 and 1; the last batch of an epoch has 6
    options.drop_last = false;
    options.repeats = repeats;
    options.mixing = {};
    TrainingBatches<> whole(data, options);
    std::vector<std::vector<Copy>> of_rank;
    for (std::size_t rank = 0; rank < 4; ++rank) {
      BatchOptions mine = options;
      mine.parts = {4, rank, 4};
      TrainingBatches<> batches(data, mine);
      EXPECT_EQ(batches.batches_per_epoch(), whole.batches_per_epoch());
      for (int i = 0; i < 6; ++i) of_rank.resize(4), of_rank[rank].push_back(copy_of(batches.next()));
    }
    for (std::size_t i = 0; i < 6; ++i) {
      Copy const all = copy_of(whole.next());
      for (std::size_t place = 0; place < all.indices.size(); ++place) {
        Copy const& part = of_rank[place % 4][i];
        EXPECT_EQ(part.index, all.index);
        ASSERT_EQ(part.indices.size(), (all.indices.size() - place % 4 + 3) / 4);
        EXPECT_EQ(part.indices[place / 4], all.indices[place]);
        EXPECT_TRUE(std::equal(all.images.begin() + 12 * place, all.images.begin() + 12 * (place + 1),
                               part.images.begin() + 12 * (place / 4)));
      }
    }
  }
  BatchOptions one = everything(8), two = one;  // mixing, too: a rank that makes all parts, and two that share them
  one.parts = {4, 0, 1};
  two.parts = {4, 1, 2};
  TrainingBatches<> all(data, one), second(data, two);
  for (int part = 0; part < 8; ++part) {
    Copy const expected = copy_of(all.next());
    if (part % 2 == 1) {
      EXPECT_EQ(copy_of(second.next()), expected);
    }
  }
}

TEST(TrainingBatches, OfFewerImagesThanParts_LeaveSomeEmpty) {
  Dataset const data = numbered_images(6, 1, 3, 4, 5);
  BatchOptions options = everything(3);
  options.parts = {4, 3, 4};
  EXPECT_EQ(TrainingBatches<>(data, options).next().size(), 0u);
  EXPECT_EQ(options.parts.weight(3), 0);
  options.parts.rank = 2;
  EXPECT_EQ(TrainingBatches<>(data, options).next().size(), 1u);
  EXPECT_EQ(options.parts.weight(3), 4.0 / 3);
  options.parts = {4, 0, 2};
  EXPECT_ERROR((TrainingBatches<>(data, options)), "give a batch that the 4 parts of a step divide, got 3");
  options.parts = {3, 0, 2};
  EXPECT_ERROR((TrainingBatches<>(data, options)), "parts that ranks divide, got 0, 2 and 3");
}

TEST(EvaluationBatches, OfSeveralRanks_SeeEachImageOnce) {
  Dataset const data = numbered_images(20, 1, 3, 3, 3);
  std::vector<std::size_t> seen;
  for (std::size_t rank = 0; rank < 9; ++rank) {  // more than the 7 batches
    EvaluationBatches batches(DatasetImages<float>(data), 3, 1, rank, 9);
    while (auto const* batch = batches.next()) seen.insert(seen.end(), batch->indices.begin(), batch->indices.end());
  }
  std::vector<std::size_t> expected(20);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(seen, expected);
}

TEST(EvaluationBatches, CanBeRewoundInTheMiddle) {
  Dataset const data = numbered_images(20, 1, 3, 3, 3);
  EvaluationBatches<> batches(data, 3);
  for (int uses = 0; uses < 6; ++uses) {
    EXPECT_EQ(batches.next()->indices[0], 0u);
    for (int i = 0; i < uses; ++i) batches.next();
    batches.rewind();
  }
}

}  // namespace
