/// VisionTask: a classifier and its images, as `attn::train::fit` wants them.
#pragma once

#include "attn/data/batches.hpp"
#include "attn/data/on_device.hpp"
#include "attn/train/distributed/world.hpp"
#include "attn/train/fit_options.hpp"
#include "attn/train/trained_numbers.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vision/judge.hpp"
#include "vision/teacher.hpp"

namespace vision {

class VisionTask {
 public:
  /// A batch of `options` is a step, whose parts the ranks of `world` share. All that is referred to must outlive this.
  VisionTask(Context& ctx, Classifier const& model, ImageData const& data, attn::data::BatchOptions const& options,
             Tuning const& tuning, attn::train::World& world)
      : ctx_(ctx),
        model_(model),
        data_(data),
        options_(options),
        tuning_(tuning),
        world_(world),
        steps_per_epoch_(attn::data::batches_per_epoch(data.train->size(), options)),
        top5_(data.test->shape().classes > 10),
        test_(share_of_test(data, options.workers, world)) {
    ATTN_CHECK(steps_per_epoch_ > 0, "--batch: give at most the ", data.train->size(), " training images, not ",
               options.batch_size);
    if (!tuning.teacher.empty()) teacher_.emplace(tuning, data.train->size(), data.train->shape().classes);
  }

  /// Images that are judged at once.
  static std::size_t most_at_once(Extent const& image) { return image.height * image.width > 4096 ? 32 : 250; }
  static std::size_t evaluation_batch(ImageSet const& images) {
    auto const shape = images.shape();
    return std::min(most_at_once({static_cast<int>(shape.height), static_cast<int>(shape.width)}), images.size());
  }

  std::uint64_t steps_per_epoch() const { return steps_per_epoch_; }
  /// The test images that a rank judges.
  static EvaluationBatches share_of_test(ImageData const& data, std::size_t workers, attn::train::World const& world) {
    return {AnyImages(*data.test), evaluation_batch(*data.test), workers, std::size_t(world.rank()),
            std::size_t(world.size())};
  }

  std::uint64_t items_per_step() const { return options_.batch_size; }
  double weight() const { return options_.parts.weight(options_.batch_size); }

  void start(std::uint64_t step) {
    options_.first_epoch = step / steps_per_epoch_;
    options_.first_batch = step % steps_per_epoch_;
    train_.emplace(AnyImages(*data_.train), options_);
  }

  attn::Tensor<float const, 1> step(Context& ctx, bool observe) {
    auto const& batch = train_->next();
    if (batch.size() == 0) return attn::train::nothing_measured(ctx, measured().size());
    auto const images = attn::data::on_device(ctx, batch.images());
    Lesson lesson{.targets = attn::data::on_device(ctx, batch.targets()),
                  .teacher_share = tuning_.teacher_share,
                  .temperature = tuning_.distillation == "soft" ? tuning_.temperature : 1};
    if (teacher_) lesson.teacher = attn::data::on_device(ctx, teacher_->targets(batch));
    return model_.train(ctx, images, lesson, observe ? &norms_ : nullptr).numbers();
  }

  attn::train::Metrics measured() const {
    return {{"loss", 1}, {"train_accuracy", double(options_.parts.parts) / double(options_.batch_size)}};
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
    Judgement judgement = judge(ctx, model_, test_, world_);
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

  /// Whether ranks have the same images: some of them tell.
  io::Json identity() const {
    std::uint64_t sum = 0;
    for (ImageSet const* const set : {data_.train.get(), data_.test.get()}) {
      std::vector<float> pixels(set->shape().image_size());
      for (std::size_t i = 0; i < 8; ++i) {
        attn::data::ImageSample<float> sample{.pixels = pixels.data()};
        set->sample(i * (set->size() - 1) / 7, {}, sample);
        std::string_view const bytes(reinterpret_cast<char const*>(pixels.data()), pixels.size() * sizeof(float));
        sum = attn::subkey(attn::RandomKey{.seed = sum + std::uint64_t(sample.label)}, bytes).stream;
      }
    }
    return {{"training images", data_.train->size()}, {"test images", data_.test->size()}, {"content", sum}};
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
  Tuning tuning_;
  attn::train::World& world_;
  std::uint64_t steps_per_epoch_;
  bool top5_;  // says more than the accuracy
  EvaluationBatches test_;
  std::optional<TrainingBatches> train_;
  std::optional<Teacher> teacher_;
  std::vector<AttentionNorms> norms_;
  Confusion confusion_;
};

}  // namespace vision
