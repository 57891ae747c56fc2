#include "detection/task.hpp"

#include "attn/core/host_copy.hpp"

#include <algorithm>

namespace train_detection {
namespace {

using Memory = Context::MemorySpace;

/// A vector of the host, where the computation runs.
template <class T, int Rank>
attn::Tensor<T, Rank, Memory> on_device(Context& ctx, std::vector<T> const& numbers,
                                        attn::Extents<Rank> const& extents) {
  auto const tensor = ctx.tensor<T>(extents);
  attn::copy_from_host<Memory>(numbers, tensor.data());
  return tensor;
}

Images images_of(Context& ctx, detection::DetectionBatch const& batch) {
  auto const pixels =
      on_device<float, 4>(ctx, batch.pixels, {Index(batch.samples.size()), 3, batch.size.height, batch.size.width});
  return {pixels, batch.sizes()};
}

detection::CocoResult result_of(detection::Detection const& found, detection::DetectionSample const& sample,
                                detection::CocoAnnotations const& coco) {
  // From what the detector saw to the picture as it is stored.
  double const across = double(sample.picture.width) / double(sample.plan.size.width),
               down = double(sample.picture.height) / double(sample.plan.size.height);
  detection::CornerBox const& b = found.box;
  detection::CocoResult result{.image = coco.images[sample.number].id,
                               .category = coco.categories[std::size_t(found.label)].id,
                               .score = found.score,
                               .box = {b.left * across, b.top * down, b.width() * across, b.height() * down}};
  result.area = result.box.area();
  if (found.mask.empty()) return result;
  using Host = Kokkos::DefaultHostExecutionSpace;
  std::vector<std::uint8_t> pixels(std::size_t(sample.picture.area()));
  std::vector<float> const corners = {float(b.left * across), float(b.top * down), float(b.right * across),
                                      float(b.bottom * down)};
  auto const side = Index(std::lround(std::sqrt(double(found.mask.size()))));
  detection::paste_masks(Host(), attn::Tensor<float const, 3, Kokkos::HostSpace>(found.mask.data(), {1, side, side}),
                         attn::Tensor<float const, 2, Kokkos::HostSpace>(corners.data(), {1, 4}),
                         attn::Tensor<std::uint8_t, 3, Kokkos::HostSpace>(
                             pixels.data(), {1, sample.picture.height, sample.picture.width}));
  Host().fence();
  result.segmentation.mask =
      detection::encode_mask(pixels, std::uint32_t(sample.picture.height), std::uint32_t(sample.picture.width));
  return result;
}

}  // namespace

detection::CocoResults find(Context& ctx, Detector const& detector, detection::CocoImages const& images,
                            std::size_t begin, std::size_t end, attn::data::UnreadableImages* unreadable) {
  ctx.training = false;
  detection::CocoResults results;
  results.has_masks = true;
  detection::DetectionBatch batch;
  batch.samples.resize(1);  // pictures have sizes of their own, and padding costs as much as they do
  for (std::size_t i = begin; i < end; ++i) {
    try {
      images.sample(i, {}, batch.samples[0]);
    } catch (attn::Error const& e) {
      if (unreadable == nullptr) throw;
      unreadable->add(i, e.what());
      continue;
    }
    detection::collate(batch, /*with_masks=*/false);
    ctx.begin_step();
    auto const found = detector.detect(ctx, images_of(ctx, batch));
    for (auto const& detection : found[0]) {
      results.results.push_back(result_of(detection, batch.samples[0], images.annotations()));
    }
  }
  return results;
}

DetectionTask::DetectionTask(Context& ctx, Detector const& detector, Pictures const& train, Pictures const& val,
                             Settings const& settings)
    : ctx_(ctx),
      detector_(detector),
      train_(train),
      val_(val),
      settings_(settings),
      batches_(Batches::batches(*train.images, settings.recipe.batch / settings.recipe.accumulate)) {
  ATTN_CHECK(steps_per_epoch() > 0, "--batch: give at most the ", train.images->size(), " training pictures, not ",
             settings.recipe.batch);
}

void DetectionTask::start(std::uint64_t step) {
  std::uint64_t const epoch = step / steps_per_epoch();
  next_ = step % steps_per_epoch() * settings_.recipe.accumulate;
  stream_.reset();
  stream_ = std::make_unique<Batches>(
      *train_.images,
      detection::DetectionBatchOptions{.batch_size = settings_.recipe.batch / settings_.recipe.accumulate,
                                       .key = attn::subkey(attn::RandomKey{.seed = settings_.seed}, "batches"),
                                       .workers = settings_.data.workers,
                                       .first_batch = epoch * batches_ + next_});
}

attn::Tensor<float const, 1> DetectionTask::step(Context& ctx, bool) {
  std::uint64_t const whole = steps_per_epoch() * settings_.recipe.accumulate;
  if (next_ == whole) {  // what is left of an epoch makes no whole step
    for (; next_ < batches_; ++next_) stream_->next();
    next_ = 0;
  }
  ++next_;
  detection::DetectionBatch const& batch = stream_->next();
  auto const images = images_of(ctx, batch);
  Index const objects = Index(batch.labels.size());
  Truths const truths{
      on_device<float, 2>(ctx, batch.boxes, {objects, 4}), on_device<std::int32_t, 1>(ctx, batch.labels, {objects}),
      on_device<std::uint8_t, 3>(ctx, batch.masks, {objects, batch.size.height, batch.size.width}), batch.first};
  auto const key = attn::subkey(attn::subkey(ctx.random, "samples"), ctx.step);
  auto const parts = detector_.add_gradients(ctx, images, truths, key);
  std::vector<float> numbers = {0};
  for (double const part : parts) {
    numbers[0] += float(part);
    numbers.push_back(float(part));
  }
  return on_device<float, 1>(ctx, numbers, {Index(numbers.size())});
}

attn::train::Metrics DetectionTask::measured() const {
  return {{"loss", 1},       {"loss_anchor_class", 1}, {"loss_anchor_box", 1},
          {"loss_class", 1}, {"loss_box", 1},          {"loss_mask", 1}};
}

attn::train::Metrics DetectionTask::evaluate(Context& ctx) {
  results_ = find(ctx, detector_, *val_.images, 0, val_.images->size());
  auto const boxes = detection::evaluate_coco(*val_.coco, results_, detection::CocoRegion::box).figures;
  auto const masks = detection::evaluate_coco(*val_.coco, results_, detection::CocoRegion::mask).figures;
  return {{"box_ap", boxes[0]}, {"box_ap50", boxes[1]}, {"mask_ap", masks[0]}, {"mask_ap50", masks[1]}};
}

}  // namespace train_detection
