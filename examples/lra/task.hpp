/// SequenceTask: a model and its sequences, as `attn::train::fit` wants them. An epoch of `fit` is the time between two
/// evaluations.
#pragma once

#include "attn/data/sequence_batches.hpp"
#include "attn/train/metrics.hpp"
#include "attn/train/weights.hpp"

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lra/settings.hpp"

namespace lra {

struct AddNumber {
  float const* from;
  float* to;
  ATTN_FUNCTION void operator()(int i) const { to[i] += from[i]; }
};

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
  double mean_loss() const { return loss / examples; }
  double accuracy() const { return correct / examples; }
};

/// The test examples, in order; without the last, incomplete batch unless `whole` or there is no other.
inline Judgement judge(Context& ctx, SequenceModel const& model, attn::data::Sequences const& data, std::size_t batch,
                       bool whole) {
  ctx.training = false;
  attn::data::SequencePass pass(data, batch, !whole && data.count() >= batch);
  Judgement judgement;
  while (auto const* b = pass.next()) judgement.add(ctx, model, *b);
  return judgement;
}

/// The greatest development accuracy so far, and the step that had it.
struct Best {
  double accuracy = -1;
  std::uint64_t step = 0;
};

inline io::Path best_path(io::Path const& out) { return out / "best.safetensors"; }

class SequenceTask {
 public:
  static constexpr char const* best_key = "attn.train_lra.best";

  SequenceTask(SequenceModel const& model, attn::data::SequenceSplits const& data, CompleteRecipe const& recipe,
               std::size_t parts, std::uint64_t seed, io::Path out)
      : model_(model),
        data_(data),
        recipe_(recipe),
        parts_(parts),
        key_{.seed = seed},
        out_(std::move(out)),
        numbers_("lra::numbers", 2) {}

  std::uint64_t steps_per_epoch() const { return recipe_.eval_every; }
  std::uint64_t items_per_step() const { return recipe_.batch; }

  void start(std::uint64_t step) {
    std::uint64_t const evaluations = step / recipe_.eval_every;
    train_.emplace(data_.train, recipe_.batch / parts_, attn::subkey(key_, "train"), step * recipe_.batch);
    dev_.emplace(data_.dev, recipe_.batch, attn::subkey(key_, "dev"),
                 evaluations * recipe_.eval_batches * recipe_.batch);
    if (step > 0) read_best();
  }

  /// A batch in parts, whose memory is given back one after the other.
  attn::Tensor<float const, 1, Memory> step(Context& ctx, bool /*observe*/) {
    std::uint64_t const step = ctx.step;
    Kokkos::deep_copy(ctx.exec, numbers_, 0.0f);
    for (std::size_t part = 0; part < parts_; ++part) {
      ctx.begin_step();
      ctx.step = step * parts_ + part;  // every part has dropout of its own
      input_.load(ctx.exec, train_->next());
      auto const loss = model_.train(ctx, input_.sequences, input_.ids, input_.labels, 1.0f / float(parts_));
      Kokkos::parallel_for("lra::add", Kokkos::RangePolicy<Context::Space>(ctx.exec, 0, 2),
                           AddNumber{loss.numbers().data(), numbers_.data()});
      ctx.exec.fence("lra::step");  // the next part is loaded over this one
    }
    ctx.step = step;
    return attn::Tensor<float, 1, Memory>(numbers_);
  }

  attn::train::Metrics measured() const {
    return {{"loss", 1.0 / double(parts_)}, {"train_accuracy", 1.0 / double(recipe_.batch)}};
  }
  attn::train::Metrics observations() const { return {}; }
  std::vector<std::string> observed() const { return {}; }

  /// On development data; keeps the weights if they are the best so far.
  attn::train::Metrics evaluate(Context& ctx) {
    Judgement judgement;
    for (std::uint64_t i = 0; i < recipe_.eval_batches; ++i) judgement.add(ctx, model_, dev_->next());
    if (judgement.accuracy() > best_.accuracy && !out_.empty()) {
      best_ = {judgement.accuracy(), ctx.step + 1};
      io::Json const record = {{"dev_accuracy", best_.accuracy}, {"step", best_.step}};
      attn::train::save_weights(best_path(out_), ctx, {{best_key, record.dump()}});
    }
    return {{"dev_loss", judgement.mean_loss()}, {"dev_accuracy", judgement.accuracy()}};
  }
  std::vector<std::string> evaluated() const { return {"dev_loss", "dev_accuracy"}; }

  Best best() {
    read_best();
    return best_;
  }

 private:
  /// What an earlier run in the same directory kept.
  void read_best() {
    std::error_code ignored;
    if (out_.empty() || !std::filesystem::exists(best_path(out_), ignored)) return;
    io::Safetensors const file(best_path(out_));
    auto const found = file.metadata().find(best_key);
    if (found == file.metadata().end()) return;
    io::Json const record = io::Json::parse(found->second, nullptr, false);
    ATTN_CHECK(record.is_object() && record.contains("dev_accuracy") && record.contains("step"), "train_lra: '",
               best_path(out_).string(), "' is corrupt");
    best_ = {record["dev_accuracy"].get<double>(), record["step"].get<std::uint64_t>()};
  }

  SequenceModel const& model_;
  attn::data::SequenceSplits const& data_;
  CompleteRecipe recipe_;
  std::size_t parts_;
  attn::RandomKey key_;
  io::Path out_;
  Kokkos::View<float*, Memory> numbers_;
  attn::data::SequenceInput<Memory> input_;
  std::optional<attn::data::SequenceStream> train_, dev_;
  Best best_;
};

}  // namespace lra
