/// VisionTask: a classifier and its images, as `attn::train::fit` wants them.
#pragma once

#include "attn/data/batches.hpp"
#include "attn/data/on_device.hpp"
#include "attn/train/metrics.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vision/classifier.hpp"

namespace vision {

/// Mean cross-entropy and share of right answers over all images of `batches`, and what was answered.
struct Judgement {
  double loss = 0;
  double accuracy = 0;
};

inline Judgement judge(Context& ctx, Classifier const& model, attn::data::EvaluationBatches<float>& batches) {
  Judgement sum;
  double images = 0;
  batches.rewind();
  while (auto const* batch = batches.next()) {
    ctx.begin_step();
    auto const logits = model.logits(ctx, attn::data::on_device(ctx, batch->images()));
    auto const [loss, correct] =
        attn::nn::cross_entropy(ctx, logits, attn::data::on_device(ctx, batch->labels())).loss.read();
    double const size = static_cast<double>(batch->size());
    sum.loss += static_cast<double>(loss) * size;
    sum.accuracy += static_cast<double>(correct);
    images += size;
  }
  return {sum.loss / images, sum.accuracy / images};
}

class VisionTask {
 public:
  static constexpr std::size_t evaluation_batch = 250;

  /// `options` are those of a part of a step, of which it has `parts`.
  VisionTask(Classifier const& model, attn::Index depth, attn::data::Split const& data,
             attn::data::BatchOptions const& options, std::uint64_t parts = 1)
      : model_(model),
        depth_(depth),
        data_(data),
        options_(options),
        parts_(parts),
        batches_(attn::data::batches_per_epoch(data.train.count, options)),
        steps_per_epoch_(batches_ / parts),
        test_(data.test, std::min(evaluation_batch, data.test.count)) {
    ATTN_CHECK(steps_per_epoch_ > 0, "--batch: give at most the ", data.train.count, " training images, not ",
               options.batch_size * parts);
  }

  std::uint64_t steps_per_epoch() const { return steps_per_epoch_; }
  std::uint64_t items_per_step() const { return options_.batch_size * parts_; }

  void start(std::uint64_t step) {
    options_.first_epoch = step / steps_per_epoch_;
    options_.first_batch = step % steps_per_epoch_ * parts_;
    next_ = options_.first_batch;
    train_.emplace(data_.train, options_);
  }

  attn::Tensor<float const, 1> step(Context& ctx, bool observe) {
    if (next_ == steps_per_epoch_ * parts_) {  // what is left of an epoch makes no whole step
      for (; next_ < batches_; ++next_) train_->next();
      next_ = 0;
    }
    ++next_;
    auto const& batch = train_->next();
    return model_
        .train(ctx, attn::data::on_device(ctx, batch.images()), attn::data::on_device(ctx, batch.targets()),
               observe ? &norms_ : nullptr)
        .numbers();
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
    return metrics;
  }
  std::vector<std::string> observed() const {
    std::vector<std::string> names;
    for (std::size_t layer = 0; layer < static_cast<std::size_t>(depth_); ++layer) {
      names.push_back(frobenius_column(layer));
      names.push_back(jacobian_column(layer));
    }
    return names;
  }

  attn::train::Metrics evaluate(Context& ctx) {
    Judgement const judgement = judge(ctx, model_, test_);
    return {{"test_loss", judgement.loss}, {"test_accuracy", judgement.accuracy}};
  }
  std::vector<std::string> evaluated() const { return {"test_loss", "test_accuracy"}; }

  static std::string frobenius_column(std::size_t layer) { return "frobenius_norm_" + std::to_string(layer); }
  static std::string jacobian_column(std::size_t layer) { return "jacobian_norm_" + std::to_string(layer); }

 private:
  Classifier const& model_;
  attn::Index depth_;
  attn::data::Split const& data_;
  attn::data::BatchOptions options_;
  std::uint64_t parts_;
  std::uint64_t batches_;  // of an epoch
  std::uint64_t steps_per_epoch_;
  std::uint64_t next_ = 0;  // batch of the epoch
  attn::data::EvaluationBatches<float> test_;
  std::optional<attn::data::TrainingBatches<float>> train_;
  std::vector<AttentionNorms> norms_;
};

}  // namespace vision
