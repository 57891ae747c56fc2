/// VisionTask: a classifier and its images, as `attn::train::fit` wants them.
#pragma once

#include "attn/data/batches.hpp"
#include "attn/data/on_device.hpp"
#include "attn/train/metrics.hpp"
#include "attn/train/trained_numbers.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vision/judge.hpp"
#include "vision/teacher.hpp"

namespace vision {

class VisionTask {
 public:
  /// `options` are those of a part of a step, of which it has `parts`. All that is referred to must outlive this.
  VisionTask(Context& ctx, Classifier const& model, ImageData const& data, attn::data::BatchOptions const& options,
             std::uint64_t parts, Tuning const& tuning)
      : ctx_(ctx),
        model_(model),
        data_(data),
        options_(options),
        parts_(parts),
        tuning_(tuning),
        batches_(attn::data::batches_per_epoch(data.train->size(), options)),
        steps_per_epoch_(batches_ / parts),
        top5_(data.test->shape().classes > 10),
        test_(AnyImages(*data.test), evaluation_batch(*data.test), options.workers) {
    ATTN_CHECK(steps_per_epoch_ > 0, "--batch: give at most the ", data.train->size(), " training images, not ",
               options.batch_size * parts);
    if (!tuning.teacher.empty()) teacher_.emplace(tuning, data.train->size(), data.train->shape().classes);
  }

  /// Images that are judged at once.
  static std::size_t most_at_once(Extent const& image) { return image.height * image.width > 4096 ? 32 : 250; }
  static std::size_t evaluation_batch(ImageSet const& images) {
    auto const shape = images.shape();
    return std::min(most_at_once({static_cast<int>(shape.height), static_cast<int>(shape.width)}), images.size());
  }

  std::uint64_t steps_per_epoch() const { return steps_per_epoch_; }
  std::uint64_t items_per_step() const { return options_.batch_size * parts_; }

  void start(std::uint64_t step) {
    options_.first_epoch = step / steps_per_epoch_;
    options_.first_batch = step % steps_per_epoch_ * parts_;
    next_ = options_.first_batch;
    train_.emplace(AnyImages(*data_.train), options_);
  }

  attn::Tensor<float const, 1> step(Context& ctx, bool observe) {
    if (next_ == steps_per_epoch_ * parts_) {  // what is left of an epoch makes no whole step
      for (; next_ < batches_; ++next_) train_->next();
      next_ = 0;
    }
    ++next_;
    auto const& batch = train_->next();
    auto const images = attn::data::on_device(ctx, batch.images());
    Lesson lesson{.targets = attn::data::on_device(ctx, batch.targets()),
                  .teacher_share = tuning_.teacher_share,
                  .temperature = tuning_.distillation == "soft" ? tuning_.temperature : 1};
    if (teacher_) lesson.teacher = attn::data::on_device(ctx, teacher_->targets(batch));
    return model_.train(ctx, images, lesson, observe ? &norms_ : nullptr).numbers();
  }

  attn::train::Metrics measured() const {
    return {{"loss", 1}, {"train_accuracy", 1 / static_cast<double>(options_.batch_size)}};
  }

  attn::train::Metrics observations() const {
    attn::train::Metrics metrics;
    for (std::size_t layer = 0; layer < norms_.size(); ++layer) {
      metrics.push_back({frobenius_column(layer), norms_[layer].frobenius});
      metrics.push_back({jacobian_column(layer), norms_[layer].jacobian});
    }
    for (auto const& number : attn::train::trained_numbers(ctx_)) metrics.push_back(number);
    return metrics;
  }
  std::vector<std::string> observed() const {
    std::vector<std::string> names;
    for (std::size_t layer = 0; layer < model_.attention_layers(); ++layer) {
      names.push_back(frobenius_column(layer));
      names.push_back(jacobian_column(layer));
    }
    for (std::string const& name : attn::train::trained_number_names(ctx_)) names.push_back(name);
    return names;
  }

  attn::train::Metrics evaluate(Context& ctx) {
    Judgement judgement = judge(ctx, model_, test_);
    confusion_ = std::move(judgement.confusion);
    attn::train::Metrics metrics = {{"test_loss", judgement.loss}, {"test_accuracy", judgement.accuracy}};
    if (top5_) metrics.push_back({"test_top5", judgement.top5});
    return metrics;
  }
  std::vector<std::string> evaluated() const {
    std::vector<std::string> names = {"test_loss", "test_accuracy"};
    if (top5_) names.push_back("test_top5");
    return names;
  }

  /// What the last evaluation saw; empty before.
  Confusion const& confusion() const { return confusion_; }

  static std::string frobenius_column(std::size_t layer) { return "frobenius_norm_" + std::to_string(layer); }
  static std::string jacobian_column(std::size_t layer) { return "jacobian_norm_" + std::to_string(layer); }

 private:
  Context& ctx_;
  Classifier const& model_;
  ImageData const& data_;
  attn::data::BatchOptions options_;
  std::uint64_t parts_;
  Tuning tuning_;
  std::uint64_t batches_;  // of an epoch
  std::uint64_t steps_per_epoch_;
  std::uint64_t next_ = 0;  // batch of the epoch
  bool top5_;               // says more than the accuracy
  EvaluationBatches test_;
  std::optional<TrainingBatches> train_;
  std::optional<Teacher> teacher_;
  std::vector<AttentionNorms> norms_;
  Confusion confusion_;
};

}  // namespace vision
