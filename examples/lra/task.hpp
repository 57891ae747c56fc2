/// SequenceTask: a model and its sequences, as `attn::train::fit` wants them. An epoch of `fit` is the time between two
/// evaluations.
#pragma once

#include "attn/data/sequence_batches.hpp"
#include "attn/train/distributed/world.hpp"
#include "attn/train/fit_options.hpp"
#include "attn/train/trained_numbers.hpp"
#include "attn/train/weights.hpp"

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lra/settings.hpp"

namespace lra {

/// Sums over examples.
struct Judgement {
  double loss = 0;
  double correct = 0;
  double examples = 0;

  void add(Context& ctx, SequenceModel const& model, attn::data::SequenceBatch const& batch) {
    ctx.begin_step();
    attn::data::SequenceInput<Memory> input;
    input.load(ctx.exec, batch);
    auto const logits = model.logits(ctx, input.sequences, input.ids);
    auto const [mean, right] = attn::nn::cross_entropy(ctx, logits, input.labels).loss.read();
    loss += double(mean) * double(batch.size());
    correct += double(right);
    examples += double(batch.size());
  }
  /// Those of all ranks.
  void add_others(attn::train::World& world) {
    std::vector<double> all = {loss, correct, examples};
    world.sum(all);
    loss = all[0], correct = all[1], examples = all[2];
  }
  double mean_loss() const { return loss / examples; }
  double accuracy() const { return correct / examples; }
};

/// The test examples, in order; without the last, incomplete batch unless `whole` or there is no other. Of several
/// ranks each judges its batches.
inline Judgement judge(Context& ctx, SequenceModel const& model, attn::data::Sequences const& data, std::size_t batch,
                       bool whole, attn::train::World& world) {
  ctx.training = false;
  attn::data::SequencePass pass(data, batch, !whole && data.count() >= batch, 1, std::size_t(world.rank()),
                                std::size_t(world.size()));
  Judgement judgement;
  while (auto const* b = pass.next()) judgement.add(ctx, model, *b);
  judgement.add_others(world);
  return judgement;
}

class SequenceTask {
 public:
  /// A step has parts, which the ranks of `world` share.
  SequenceTask(Context& ctx, SequenceModel const& model, attn::data::SequenceSplits const& data,
               CompleteRecipe const& recipe, attn::data::BatchParts const& parts, std::uint64_t seed,
               attn::train::World& world)
      : ctx_(ctx), model_(model), data_(data), recipe_(recipe), parts_(parts), key_{.seed = seed}, world_(world) {}

  std::uint64_t steps_per_epoch() const { return recipe_.eval_every; }
  std::uint64_t items_per_step() const { return recipe_.batch; }

  double weight() const { return parts_.weight(recipe_.batch); }

  void start(std::uint64_t step) {
    std::uint64_t const evaluations = step / recipe_.eval_every;
    train_.emplace(data_.train, recipe_.batch, attn::subkey(key_, "train"), step * recipe_.batch, 1, parts_);
    dev_.emplace(data_.dev, recipe_.batch, attn::subkey(key_, "dev"),
                 evaluations * recipe_.eval_batches * recipe_.batch);
  }

  attn::Tensor<float const, 1, Memory> step(Context& ctx, bool /*observe*/) {
    auto const& batch = train_->next();
    if (batch.size() == 0) return attn::train::nothing_measured(ctx, measured().size());
    input_.load(ctx.exec, batch);
    ctx.staged.record(ctx.exec);
    return model_.train(ctx, input_.sequences, input_.ids, input_.labels).numbers();
  }

  attn::train::Metrics measured() const {
    return {{"loss", 1.0}, {"train_accuracy", double(parts_.parts) / double(recipe_.batch)}};
  }
  attn::train::Metrics observations() const { return attn::train::trained_numbers(ctx_); }
  std::vector<std::string> observed() const { return attn::train::trained_number_names(ctx_); }

  /// On development data.
  attn::train::Metrics evaluate(Context& ctx) {
    Judgement judgement;
    for (std::uint64_t i = 0; i < recipe_.eval_batches; ++i) {
      auto const& batch = dev_->next();
      if (int(i % std::uint64_t(world_.size())) == world_.rank()) judgement.add(ctx, model_, batch);
    }
    judgement.add_others(world_);
    return {{"dev_loss", judgement.mean_loss()}, {"dev_accuracy", judgement.accuracy()}};
  }
  std::vector<std::string> evaluated() const { return {"dev_loss", "dev_accuracy"}; }

  /// Whether ranks have the same examples.
  attn::io::Json identity() const {
    auto const sum = [](attn::data::Sequences const& data) {
      std::string_view const tokens(reinterpret_cast<char const*>(data.tokens.data()), data.tokens.size());
      return attn::subkey(attn::RandomKey{.seed = data.count()}, tokens).stream;
    };
    return {{"training examples", sum(data_.train)}, {"development examples", sum(data_.dev)}};
  }

 private:
  Context& ctx_;
  SequenceModel const& model_;
  attn::data::SequenceSplits const& data_;
  CompleteRecipe recipe_;
  attn::data::BatchParts parts_;
  attn::RandomKey key_;
  attn::train::World& world_;
  attn::data::SequenceInput<Memory> input_;
  std::optional<attn::data::SequenceStream> train_, dev_;
};

}  // namespace lra
