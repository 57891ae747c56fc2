#include "vision/judge.hpp"

#include "attn/data/on_device.hpp"

#include <algorithm>
#include <cmath>

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

}  // namespace

Answer answer_of(float const* logits, std::size_t classes) {
  float const* const best = std::max_element(logits, logits + classes);
  double sum = 0;
  for (std::size_t c = 0; c < classes; ++c) sum += std::exp(double(logits[c]) - double(*best));
  return {static_cast<std::size_t>(best - logits), 1 / sum};
}

Judgement judge(Context& ctx, Classifier const& model, EvaluationBatches& batches) {
  Judgement sum;
  double images = 0;
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
    images += size;
  }
  return {sum.loss / images, sum.accuracy / images, sum.top5 / images};
}

}  // namespace vision
