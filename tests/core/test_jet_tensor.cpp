#include "attn/core/jet_tensor.hpp"
#include "attn/nn/context.hpp"
#include "attn/nn/function.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace {

using attn::Index;
using attn::Jet;
using Exec = Kokkos::DefaultHostExecutionSpace;
using Memory = Kokkos::HostSpace;

template <class J>
J jet_of(double seed) {
  J j;
  for (int c = 0; c < J::size; ++c) j.coefficients[c] = attn::RealOf<J>(std::sin(seed + 1.7 * c));
  return j;
}

using J11 = Jet<double, 1, 1>;
using J22 = Jet<double, 2, 2>;

template <class J>
attn::JetPlanes<J> axes() {
  std::bitset<std::size_t(J::size)> wanted;
  wanted[std::size_t(J::Layout::orders[1])] = true;  // the highest power of the second direction
  wanted[std::size_t(J::size - 1 - J::Layout::orders[1])] = true;
  return attn::JetPlanes<J>::closure_of(wanted);
}

TEST(JetPlanes, HoldWhatDividesAWantedCoefficientAndNothingElse) {
  auto const planes = axes<J22>();  // 1, t, t^2, x, x^2 of nine
  EXPECT_EQ(planes.count, 5);
  int const expected[] = {0, 1, 2, 3, -1, -1, 4, -1, -1};
  for (int c = 0; c < 9; ++c) EXPECT_EQ(planes[c], expected[c]) << c;
  EXPECT_EQ(attn::JetPlanes<J22>::closure_of({}).count, 1);
}

TEST(JetPlanes, TheAdjointOfTheAdjointIsTheBeginning) {
  auto const planes = axes<J22>();
  EXPECT_FALSE(planes.adjoint() == planes);
  EXPECT_TRUE(planes.adjoint().adjoint() == planes);
  EXPECT_EQ(planes.adjoint()[8], 0);  // the adjoint of a value is the top coefficient
}

TEST(JetTensor, AViewOfJetsConverts) {
  Kokkos::View<J11**, Kokkos::LayoutLeft, Memory> const view("view", 2, 3);
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 3; ++j) view(i, j) = jet_of<J11>(3 * i + j);
  }
  attn::Tensor const x(view);
  static_assert(std::same_as<decltype(x), attn::Tensor<J11, 2, Memory> const>);
  EXPECT_EQ(x.stride(0), 1);
  EXPECT_EQ(x.stride(1), 2);
  J11 const read = x(1, 2);
  for (int c = 0; c < 4; ++c) EXPECT_EQ(read.coefficients[c], view(1, 2).coefficients[c]);
  x(0, 1) = jet_of<J11>(9);
  EXPECT_EQ(view(0, 1).coefficients[3], jet_of<J11>(9).coefficients[3]);
}

TEST(JetTensor, ElementsAreWrittenAndReadWhole) {
  std::vector<double> memory(4 * 6);
  attn::Tensor<J11, 2, Memory> const x(memory.data(), {2, 3}, {});
  for (Index i = 0; i < 2; ++i) {
    for (Index j = 0; j < 3; ++j) x(i, j) = jet_of<J11>(double(3 * i + j));
  }
  J11 const read = x(1, 2);
  for (int c = 0; c < 4; ++c) {
    EXPECT_EQ(read.coefficients[c], jet_of<J11>(5).coefficients[c]);
    EXPECT_EQ(memory[std::size_t(6 * c + 5)], read.coefficients[c]);
  }
  J11 const transposed = x.transpose(0, 1)(2, 1);
  EXPECT_EQ(transposed.coefficients[3], read.coefficients[3]);
  EXPECT_EQ(J11(x.slice(1, 2, 3)(1, 0)).coefficients[1], read.coefficients[1]);
}

TEST(JetTensor, WhatIsNotKeptReadsAsZero) {
  std::vector<double> memory(3);
  attn::Tensor<J11, 1, Memory> const x(memory.data(), {1}, axes<J11>());
  x(0) = jet_of<J11>(1);
  J11 const read = x(0);
  EXPECT_EQ(read.coefficients[3], 0);
  for (int c = 0; c < 3; ++c) EXPECT_EQ(read.coefficients[c], jet_of<J11>(1).coefficients[c]);
}

// <adjoint, a b> must not depend on coefficients that neither the values nor the adjoint keep.
TEST(JetTensor, ProductsOfKeptPartsAreThoseOfWholeJets) {
  auto const planes = axes<J22>();
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<double> memory(15);
    attn::Tensor<J22, 1, Memory> const a(memory.data(), {1}, planes), b(memory.data() + 5, {1}, planes);
    attn::Tensor<J22, 1, Memory> const d(memory.data() + 10, {1}, planes.adjoint());
    J22 const whole_a = jet_of<J22>(trial), whole_b = jet_of<J22>(trial + 0.3);
    a(0) = whole_a;
    b(0) = whole_b;
    J22 d_whole = jet_of<J22>(trial + 0.7);
    for (int c = 0; c < 9; ++c) {
      if (planes[8 - c] < 0) d_whole.coefficients[c] = 0;  // the loss does not know the others
    }
    d(0) = d_whole;
    J22 const product = J22(a(0)) * J22(b(0)), expected = whole_a * whole_b;
    J22 const d_a = J22(d(0)) * J22(b(0)), d_expected = d_whole * whole_b;
    for (int c = 0; c < 9; ++c) {
      if (planes[c] >= 0) {
        EXPECT_NEAR(product.coefficients[c], expected.coefficients[c], 1e-15);
      }
      if (planes[8 - c] >= 0) {
        EXPECT_NEAR(d_a.coefficients[c], d_expected.coefficients[c], 1e-15);
      }
    }
    // forward: f = sum over coefficients of seed * (a b); reversing makes d_a = d * b its gradient
    double f = 0, linear = 0;
    for (int c = 0; c < 9; ++c) {
      f += d_whole.coefficients[8 - c] * expected.coefficients[c];
      linear += d_a.coefficients[8 - c] * whole_a.coefficients[c];
    }
    EXPECT_NEAR(f, linear, 1e-12);
  }
}

TEST(JetTensor, ALinearMapSeesPlanesAsRows) {
  std::vector<double> memory(3 * 8, 0.0);
  attn::Tensor<J11, 3, Memory> const x(memory.data(), {2, 2, 2}, axes<J11>());
  auto const rows = attn::real_rows(x.rows());
  EXPECT_EQ(rows.extent(0), 12);
  EXPECT_EQ(rows.extent(1), 2);
  rows(4, 1) = 7;  // first token, second plane: the derivative by the second direction
  EXPECT_EQ(J11(x(0, 0, 1)).coefficients[1], 7);
  EXPECT_EQ(attn::value_rows(x.rows()).extent(0), 4);
  EXPECT_THROW(attn::real_rows(x.rows().slice(0, 0, 1)), attn::Error);
}

// The module is the one that reals use; a prime size leaves a vector with idle lanes.
TEST(JetTensor, ModulesComputeDerivativesOfTheirFunction) {
  attn::nn::Context<Exec, J22> ctx;
  ctx.planes = axes<J22>();
  attn::nn::Pointwise<attn::nn::Tanh> const module;
  auto const x = ctx.tensor(Index(37));
  for (Index i = 0; i < 37; ++i) x(i) = jet_of<J22>(double(i));
  auto [y, tape] = module.forward(ctx, x);
  attn::nn::AdjointPhase const phase(ctx);
  auto const d_y = ctx.tensor(Index(37));
  for (Index i = 0; i < 37; ++i) d_y(i) = jet_of<J22>(double(i) + 0.4);
  auto const d_x = module.backward(ctx, std::move(tape), d_y);
  for (Index i = 0; i < 37; ++i) {
    J22 const kept = x(i), t = attn::tanh(kept), d_expected = J22(d_y(i)) * (J22(1.0) - t * t);
    J22 const value = y(i), gradient = d_x(i);
    for (int c = 0; c < 9; ++c) {
      if (y.planes()[c] >= 0) {
        EXPECT_NEAR(value.coefficients[c], t.coefficients[c], 1e-14);
      }
      if (d_x.planes()[c] >= 0) {
        EXPECT_NEAR(gradient.coefficients[c], d_expected.coefficients[c], 1e-13);
      }
    }
  }
}

}  // namespace
