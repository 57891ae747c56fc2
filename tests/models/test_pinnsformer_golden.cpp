// Losses and gradients of a PINNsFormer with derivatives by column, against tests/golden/make_pinnsformer.py.
#include "attn/activation/activation.hpp"
#include "attn/io/npy.hpp"
#include "attn/models/pinnsformer.hpp"
#include "attn/pde/loss.hpp"
#include "attn/pde/problems.hpp"
#include "attn/train/weights.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace {

using Exec = Kokkos::DefaultExecutionSpace;
using Ctx = attn::nn::Context<Exec, float>;

std::string path(std::string const& name) { return std::string(ATTN_GOLDEN_DIR) + "/pinnsformer/" + name; }

template <class A, class Problem>
void compare(std::string const& activation, std::string const& problem_name, Problem const& problem,
             std::string const& weights) {
  Ctx ctx;
  attn::models::PinnsFormer<A> const model(ctx, {.hidden = 24, .head_hidden = 40});
  attn::train::load_weights(path(weights), ctx);
  std::string const name = activation + "_" + problem_name;
  auto const value = attn::pde::loss_and_gradient<typename Problem::Orders>(
      ctx, model, problem.terms(7, 5),
      {.sequence = {.length = 5, .step = 1e-4}, .derivative = attn::pde::Derivative::column, .chunk = 16});
  auto const terms = attn::io::read_npy(path(name + "_terms.npy")).as<double>();
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(value.terms[i], terms[i], 1e-4 * terms[i]) << name << " term " << i;

  attn::io::Safetensors const gradients(path(name + "_gradients.safetensors"));
  // Softmax over five nearly equal tokens hardly depends on the query: gradients that vanish are compared with all.
  double whole = 0;
  for (auto const& entry : ctx.parameters.entries()) {
    for (float const g : ctx.parameters.host_gradients(entry)) whole += double(g) * double(g);
  }
  for (auto const& entry : ctx.parameters.entries()) {
    std::vector<float> expected(std::size_t(entry.size));
    gradients.read(entry.name, attn::train::detail::shape_of(entry), expected.data());
    auto const got = ctx.parameters.host_gradients(entry);
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      difference += std::pow(double(got[i]) - double(expected[i]), 2);
      norm += std::pow(double(expected[i]), 2);
    }
    EXPECT_LT(std::sqrt(difference), 1e-4 * std::sqrt(norm) + 1e-7 * std::sqrt(whole)) << name << " " << entry.name;
  }
}

TEST(PinnsFormerGolden, ConvectionWithSoftmax) {
  compare<attn::Softmax>("softmax", "convection", attn::pde::Convection{}, "weights.safetensors");
}
TEST(PinnsFormerGolden, ReactionWithSoftmax) {
  compare<attn::Softmax>("softmax", "reaction", attn::pde::Reaction{}, "weights.safetensors");
}
TEST(PinnsFormerGolden, ConvectionWithTheCube) {
  compare<attn::Poly<3>>("poly3", "convection", attn::pde::Convection{}, "weights.safetensors");
}
TEST(PinnsFormerGolden, ReactionWithTheCube) {
  compare<attn::Poly<3>>("poly3", "reaction", attn::pde::Reaction{}, "weights.safetensors");
}
TEST(PinnsFormerGolden, ConvectionWithATrainedScale) {
  compare<attn::Poly<3, attn::DynamicScale>>("poly3_dynamic", "convection", attn::pde::Convection{},
                                             "poly3_dynamic_weights.safetensors");
}
TEST(PinnsFormerGolden, ReactionWithATrainedScale) {
  compare<attn::Poly<3, attn::DynamicScale>>("poly3_dynamic", "reaction", attn::pde::Reaction{},
                                             "poly3_dynamic_weights.safetensors");
}

}  // namespace
