#include "vision/judge.hpp"

#include "attn/data/on_device.hpp"

namespace vision {
namespace {

/// among[i] = 1 where fewer than five logits of row i are above that of its label, 0 elsewhere.
struct AmongFive {
  float const* logits;
  std::int32_t const* labels;
  float* among;
  attn::Index classes;

  ATTN_FUNCTION void operator()(attn::Index i) const {
    float const own = logits[i * classes + labels[i]];
    int above = 0;
    for (attn::Index c = 0; c < classes; ++c) above += logits[i * classes + c] > own;
    among[i] = above < 5 ? 1.0f : 0.0f;
  }
};

double count_among_five(Context& ctx, Logits const& logits,
                        attn::Tensor<std::int32_t const, 1, Context::MemorySpace> labels) {
  attn::Index const rows = logits.extent(0);
  auto const among = ctx.tensor(rows);
  Kokkos::parallel_for("vision::among_five",
                       Kokkos::RangePolicy<Context::Space, Kokkos::IndexType<attn::Index>>(ctx.exec, 0, rows),
                       AmongFive{logits.data(), labels.data(), among.data(), logits.extent(1)});
  std::vector<float> host(static_cast<std::size_t>(rows));
  Kokkos::deep_copy(ctx.exec, Kokkos::View<float*, Kokkos::HostSpace>(host.data(), host.size()),
                    Kokkos::View<float const*, Context::MemorySpace>(among.data(), host.size()));
  ctx.exec.fence();
  double sum = 0;
  for (float const one : host) sum += double(one);
  return sum;
}

}  // namespace

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
