#include "vision/judge.hpp"

#include "attn/data/on_device.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace vision {
namespace {

/// Counts the rows in which fewer than five logits are above that of the label.
struct AmongFive {
  float const* logits;
  std::int32_t const* labels;
  attn::Index classes;

  ATTN_FUNCTION void operator()(attn::Index i, std::int64_t& count) const {
    float const own = logits[i * classes + labels[i]];
    int above = 0;
    for (attn::Index c = 0; c < classes; ++c) above += logits[i * classes + c] > own;
    count += above < 5;
  }
};

double count_among_five(Context& ctx, Logits const& logits,
                        attn::Tensor<std::int32_t const, 1, Context::MemorySpace> labels) {
  std::int64_t count = 0;
  Kokkos::parallel_reduce(
      "vision::among_five",
      Kokkos::RangePolicy<Context::Space, Kokkos::IndexType<attn::Index>>(ctx.exec, 0, logits.extent(0)),
      AmongFive{logits.data(), labels.data(), logits.extent(1)}, count);
  return static_cast<double>(count);
}

/// Adds what the logits of some images say of their labels.
template <class Labels>
void count_answers(Logits const& logits, Labels const& labels, Confusion& to) {
  if (to.counts.empty()) return;
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), logits.view());
  for (std::size_t i = 0; i < labels.extent(0); ++i) {
    float const* const row = &host(i, 0);
    auto const answer = static_cast<std::size_t>(std::max_element(row, row + to.classes) - row);
    ++to.counts[static_cast<std::size_t>(labels(i)) * to.classes + answer];
  }
}

}  // namespace

Answer answer_of(float const* logits, std::size_t classes) {
  float const* const best = std::max_element(logits, logits + classes);
  double sum = 0;
  for (std::size_t c = 0; c < classes; ++c) sum += std::exp(double(logits[c]) - double(*best));
  return {static_cast<std::size_t>(best - logits), 1 / sum};
}

Judgement judge(Context& ctx, Classifier const& model, EvaluationBatches& batches, attn::train::World& world) {
  Judgement sum;
  double images = 0;
  auto const classes = static_cast<std::size_t>(batches.classes());
  if (classes <= Confusion::most) sum.confusion = {classes, std::vector<std::uint64_t>(classes * classes)};
  batches.rewind();
  while (auto const* batch = batches.next()) {
    ctx.begin_step();
    auto const logits = model.logits(ctx, attn::data::on_device(ctx, batch->images()));
    auto const labels = attn::data::on_device(ctx, batch->labels());
    auto const [loss, correct] = attn::nn::cross_entropy(ctx, logits, labels).loss.read();
    double const size = static_cast<double>(batch->size());
    sum.loss += static_cast<double>(loss) * size;
    sum.accuracy += static_cast<double>(correct);
    sum.top5 += count_among_five(ctx, logits, labels);
    count_answers(logits, batch->labels(), sum.confusion);
    images += size;
  }
  std::vector<double> all = {sum.loss, sum.accuracy, sum.top5, images};
  all.insert(all.end(), sum.confusion.counts.begin(), sum.confusion.counts.end());
  world.sum(all);
  std::copy(all.begin() + 4, all.end(), sum.confusion.counts.begin());
  return {all[0] / all[3], all[1] / all[3], all[2] / all[3], std::move(sum.confusion)};
}

}  // namespace vision
