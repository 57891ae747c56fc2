#include "vision/lesson.hpp"

#include "attn/core/elementwise.hpp"

namespace vision {
namespace {

/// out = a x + b y; y may be null, out x.
struct Combine {
  float const* x;
  float const* y;
  float* out;
  float a, b;
  attn::Index columns;

  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, attn::Index row, attn::Index column) const {
    using Value = typename Lanes::Value;
    attn::Index const i = row * columns + column;
    Value sum = Value(a) * lanes.load(x + i);
    if (y != nullptr) sum = sum + Value(b) * lanes.load(y + i);
    lanes.store(out + i, sum);
  }
};

void combine(Context& ctx, double a, Logits const& x, double b, Logits const& y, Logits const& out) {
  attn::elementwise<float>(
      ctx.exec, "vision::combine", out.extent(0), out.extent(1),
      Combine{x.data(), y.data(), out.data(), static_cast<float>(a), static_cast<float>(b), out.extent(1)});
}

}  // namespace

Learned learn(Context& ctx, std::vector<Logits> const& heads, Lesson const& lesson) {
  if (!lesson.has_teacher()) {
    auto [loss, d_logits] = attn::nn::cross_entropy(ctx, heads.front(), lesson.targets);
    return {loss, {d_logits}};
  }
  bool const two = heads.size() > 1;
  double const share = lesson.teacher_share, t = lesson.temperature;
  auto [loss, d_first] = attn::nn::cross_entropy(ctx, heads.front(), lesson.targets);
  Logits const cooled = ctx.tensor(heads.back().extents());
  combine(ctx, 1 / t, heads.back(), 0, {}, cooled);
  auto [teacher_loss, d_cooled] = attn::nn::cross_entropy(ctx, cooled, lesson.teacher);
  // d (t^2 CE(z / t)) = t (softmax(z / t) - teacher), and that difference is d_cooled
  auto const numbers = [](auto const& value) { return Logits(value.numbers().data(), {1, 1}); };
  combine(ctx, 1 - share, numbers(loss), share * t * t, numbers(teacher_loss), numbers(loss));
  if (two) {
    combine(ctx, 1 - share, d_first, 0, {}, d_first);
    combine(ctx, share * t, d_cooled, 0, {}, d_cooled);
    return {loss, {d_first, d_cooled}};
  }
  combine(ctx, 1 - share, d_first, share * t, d_cooled, d_first);
  return {loss, {d_first}};
}

}  // namespace vision
