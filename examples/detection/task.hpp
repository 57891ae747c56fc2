/// DetectionTask: a detector and its pictures, as `attn::train::fit` wants them; and what it finds, in COCO's terms.
#pragma once

#include "attn/detection/detection_batches.hpp"
#include "attn/detection/evaluation.hpp"
#include "attn/train/metrics.hpp"
#include "attn/train/trained_numbers.hpp"

#include <memory>
#include <string>
#include <vector>

#include "detection/model.hpp"

namespace train_detection {

namespace detection = attn::detection;

/// Pictures of one part of a data set.
struct Pictures {
  std::unique_ptr<detection::CocoAnnotations> coco;
  std::unique_ptr<detection::CocoImages> images;
  std::unique_ptr<attn::data::UnreadableImages> unreadable = std::make_unique<attn::data::UnreadableImages>();
};

/// What a detector finds in pictures `begin` to `end` of a source: results with ids, boxes and masks of the files. One
/// that cannot be read stops everything, or is noted in `unreadable`.
detection::CocoResults find(Context& ctx, Detector const& detector, detection::CocoImages const& images,
                            std::size_t begin, std::size_t end, attn::data::UnreadableImages* unreadable = nullptr);

class DetectionTask {
 public:
  DetectionTask(Context& ctx, Detector const& detector, Pictures const& train, Pictures const& val,
                Settings const& settings);

  std::uint64_t steps_per_epoch() const { return batches_ / settings_.recipe.accumulate; }
  std::uint64_t items_per_step() const { return settings_.recipe.batch; }
  void start(std::uint64_t step);
  attn::Tensor<float const, 1> step(Context& ctx, bool observe);
  attn::train::Metrics measured() const;
  attn::train::Metrics observations() const { return attn::train::trained_numbers(ctx_); }
  std::vector<std::string> observed() const { return attn::train::trained_number_names(ctx_); }
  attn::train::Metrics evaluate(Context& ctx);
  std::vector<std::string> evaluated() const { return {"box_ap", "box_ap50", "mask_ap", "mask_ap50"}; }

  /// What the last evaluation found.
  detection::CocoResults const& results() const { return results_; }

 private:
  using Batches = detection::DetectionBatches<detection::CocoImages>;

  Context& ctx_;
  Detector const& detector_;
  Pictures const& train_;
  Pictures const& val_;
  Settings const& settings_;
  std::uint64_t batches_;  // of an epoch, parts of steps
  std::uint64_t next_ = 0;
  std::unique_ptr<Batches> stream_;
  detection::CocoResults results_;
};

}  // namespace train_detection
