#include "theory/measure.hpp"

#include "attn/attention/norms.hpp"
#include "attn/nn/layer_norm.hpp"
#include "attn/nn/linear.hpp"
#include "attn/nn/mlp.hpp"

#include <cmath>
#include <cstdio>

#include "own_activations.hpp"
#include "power_name.hpp"
#include "theory/fit.hpp"
#include "theory/registry.hpp"

namespace theory {
namespace {

using Exec = Activation::Exec;
using Memory = Exec::memory_space;
using Statistics = Activation::Statistics;
using Input = attn::Tensor<float const, 4, Memory>;
using Output = attn::Tensor<float, 4, Memory>;
using attn::Index;

Activation activation_of(Choice const& choice) {
  return activations().make(choice.name, {.power = choice.power, .factor = choice.factor});
}

void attend(Activation const& activation, Input const& q, Input const& k, Input const& v, Output const& out,
            Statistics const& statistics, double score_scale) {
  attn::attention(Exec(), activation.kernels(), q, k, v, out,
                  attn::AttentionOptions<attn::Full, Statistics>{.score_scale = score_scale, .norms = statistics});
}

/// Memory for the norms of so many heads and rows, and what is written there.
class Room {
 public:
  Room(Index batch, Index heads, Index tokens)
      : heads_(batch * heads), rows_(heads_ * tokens), memory_("theory::Room", std::size_t(2 * heads_ + 6 * rows_)) {
    auto const row = [&](Index i) {
      return attn::Tensor<float, 3, Memory>(memory_.data() + 2 * heads_ + i * rows_, {batch, heads, tokens});
    };
    to_ = {{memory_.data(), {batch, heads}},
           {memory_.data() + heads_, {batch, heads}},
           row(0),
           row(1),
           row(2),
           row(3),
           row(4),
           row(5)};
  }
  Statistics const& to() const { return to_; }

  Measured read() const {
    Exec().fence();
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), memory_);
    auto const part = [&](Index first, Index n) {
      return std::vector<double>(host.data() + first, host.data() + first + n);
    };
    auto const row = [&](Index i) { return part(2 * heads_ + i * rows_, rows_); };
    Measured m{part(0, heads_), part(heads_, heads_), row(0), row(1), row(2), row(3), row(4), row(5)};
    for (auto* const squares : {&m.frobenius, &m.jacobian}) {
      for (double& square : *squares) square = std::sqrt(square);
    }
    return m;
  }

 private:
  Index heads_, rows_;
  Kokkos::View<float*, Memory> memory_;
  Statistics to_;
};

Kokkos::View<float*, Memory> on_device(std::vector<float> const& values) {
  Kokkos::View<float const*, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>> const host(values.data(),
                                                                                                    values.size());
  Kokkos::View<float*, Memory> const there("theory::values", values.size());
  Kokkos::deep_copy(there, host);
  return there;
}

struct Add {
  float* to;
  float const* from;
  ATTN_FUNCTION void operator()(std::size_t i) const { to[i] += from[i]; }
};

}  // namespace

std::string Choice::label() const {
  if (name != "poly") return name;
  std::string const x = power_name(power);
  if (factor == 0) return x + "/√N";
  if (factor == 1) return x;
  char text[32];
  std::snprintf(text, sizeof text, "%.3g ", factor);
  return text + x;
}

attn::ActivationRegistry<Activation> const& activations() {
  return offered_activations<Activation>([](auto& registry) {
    using List = AnyFunction::List;
    registry.add("softmax", attn::Softmax{});
    registry.add("poly", [](attn::ActivationNumbers const& n) -> Activation {
      return AnyFunction{.power = n.power, .factor = n.factor};
    });
    auto const add = [&]<bool normalised>(List list, std::bool_constant<normalised>, auto const&... known) {
      int at = 0;
      auto const add_one = [&](char const* name) {
        AnyFunction const function{.list = list, .index = at++};
        if constexpr (normalised) {
          registry.add(name, attn::Normalized<AnyFunction>{function});
        } else {
          registry.add(name, function);
        }
      };
      (add_one(known.name), ...);
    };
    std::apply([&](auto const&... known) { add(List::functions, std::false_type(), known...); }, functions());
    std::apply([&](auto const&... known) { add(List::numerators, std::true_type(), known...); }, numerators());
  });
}

std::vector<std::string> registered_names() {
  std::vector<std::string> names = activations().names();
  std::erase_if(names, [](std::string const& name) { return name == "softmax" || name == "poly"; });
  return names;
}

Choice choice_of(std::string const& activation, int power, std::string const& scale) {
  return {.name = activation, .power = power, .factor = scale == "none" ? 1.0 : 0.0};
}

Measured measure(Choice const& choice, Heads const& q, Heads const& k, double score_scale) {
  auto const q_values = on_device(q.values), k_values = on_device(k.values);
  Room const room(1, q.heads, q.tokens);
  attend(activation_of(choice), Input(q_values.data(), {1, q.heads, q.tokens, q.width}),
         Input(k_values.data(), {1, k.heads, k.tokens, k.width}), Input(nullptr, {1, k.heads, k.tokens, 0}),
         Output(nullptr, {1, q.heads, q.tokens, 0}), room.to(), score_scale);
  return room.read();
}

double parameter_gradient(Choice const& choice, std::vector<double> const& x_norms, Heads const& q, Heads const& k) {
  auto const n = std::size_t(q.tokens), d = std::size_t(q.width);
  std::vector<double> k_squares(n, 0), scores(n), along(d);
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t c = 0; c < d; ++c) k_squares[j] += double(k.values[j * d + c]) * double(k.values[j * d + c]);
  }
  // A row's derivatives dw_j / ds_l = [j = l] f_l + w_j g_l, and ds_l / dQ = x_i k_l^T / sqrt(d). Hence the square of
  // row i is |x_i|^2 / d sum_j |f_j k_j + w_j G|^2, with G = sum_l g_l k_l.
  auto const row_square = [&](WeightRow const& row) {
    std::fill(along.begin(), along.end(), 0.0);
    for (std::size_t l = 0; l < n; ++l) {
      for (std::size_t c = 0; c < d; ++c) along[c] += row.shared[l] * double(k.values[l * d + c]);
    }
    double square = 0, along2 = 0;
    for (double const x : along) along2 += x * x;
    for (std::size_t j = 0; j < n; ++j) {
      double dot = 0;
      for (std::size_t c = 0; c < d; ++c) dot += double(k.values[j * d + c]) * along[c];
      double const own = row.own[j], w = row.weights[j];
      square += own * own * k_squares[j] + 2 * own * w * dot + w * w * along2;
    }
    return square;
  };
  Activation const activation = activation_of(choice);
  WeightRow row;
  double total = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double dot = 0;
      for (std::size_t c = 0; c < d; ++c) dot += double(q.values[i * d + c]) * double(k.values[j * d + c]);
      scores[j] = dot / std::sqrt(double(d));
    }
    activation.differentiate(scores, row);
    total += x_norms[i] * x_norms[i] / double(d) * row_square(row);
  }
  return std::sqrt(total);
}

std::vector<LayerNorms> norms_at_initialisation(Choice const& choice, Sizes const& sizes, std::uint64_t seed) {
  namespace nn = attn::nn;
  nn::Context<Exec> ctx(seed);
  Index const width = Index(sizes.heads) * sizes.head_width, batch = sizes.samples, tokens = sizes.tokens;
  struct Block {
    nn::LayerNorm norm1, norm2;
    nn::Linear qkv, proj;
    nn::Mlp<nn::Gelu> mlp;
  };
  auto const initial = nn::truncated_normal(0.02);
  nn::Builder const root = ctx;
  std::vector<Block> blocks;
  for (int layer = 0; layer < sizes.depth; ++layer) {
    auto const at = root / "blocks" / layer;
    blocks.push_back({nn::LayerNorm(at / "norm1", {.width = width}), nn::LayerNorm(at / "norm2", {.width = width}),
                      nn::Linear(at / "qkv", {.inputs = width, .outputs = 3 * width, .initial = initial}),
                      nn::Linear(at / "proj", {.inputs = width, .outputs = width, .initial = initial}),
                      nn::Mlp<nn::Gelu>(at / "mlp", {.width = width, .hidden = 4 * width, .initial = initial})});
  }
  ctx.training = false;
  ctx.begin_step();
  auto const as_view = [](auto const& x) {
    return Kokkos::View<float*, Memory, Kokkos::MemoryTraits<Kokkos::Unmanaged>>(x.data(), std::size_t(x.size()));
  };
  auto const add = [&](auto const& to, auto const& from) {
    attn::launch("theory::add", Kokkos::RangePolicy<Exec>(ctx.exec, 0, std::size_t(to.size())),
                 Add{to.data(), from.data()});
  };
  auto const x = ctx.tensor(batch, tokens, width);
  std::vector<float> random(std::size_t(x.size()));
  for (std::size_t i = 0; i < random.size(); ++i) {
    random[i] = attn::normal<float>({.seed = seed, .stream = 77}, i);
  }
  Kokkos::deep_copy(as_view(x), on_device(random));
  Activation const activation = activation_of(choice);
  Room const room(batch, sizes.heads, tokens);
  std::vector<LayerNorms> result;
  for (Block const& block : blocks) {
    typename attn::Workspace<Memory>::Scope const scope(ctx.workspace);
    auto const normal = block.norm1.forward(ctx, x).value;
    auto const qkv = ctx.tensor(batch, tokens, 3 * width), attended = ctx.tensor(batch, tokens, width),
               projected = ctx.tensor(batch, tokens, width);
    block.qkv.multiply(ctx, normal.rows(), qkv.rows());
    auto const heads = [&](auto const& t, Index first) {
      return Output(t.data() + first, {batch, sizes.heads, tokens, sizes.head_width},
                    {t.stride(0), sizes.head_width, t.stride(1), 1});
    };
    Output const out = heads(attended, 0);
    attend(activation, heads(qkv, 0), heads(qkv, width), heads(qkv, 2 * width), out, room.to(), 0);
    Measured const m = room.read();
    result.push_back({mean(m.frobenius), mean(m.jacobian), 0});
    // The scores are the weights of the identity: their deviation is the Frobenius norm over N.
    attend(AnyFunction{.power = 1, .factor = 1}, heads(qkv, 0), heads(qkv, width), heads(qkv, 2 * width),
           heads(projected, 0), room.to(), 0);
    result.back().score_deviation = mean(room.read().frobenius) / double(tokens);
    block.proj.multiply(ctx, attended.rows(), projected.rows());
    add(x, projected);
    add(x, block.mlp.forward(ctx, block.norm2.forward(ctx, x).value).value);
  }
  ctx.exec.fence();
  return result;
}

}  // namespace theory
