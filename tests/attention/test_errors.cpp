// Calls that cannot be right, and what they are told.
#include "attn/activation/activation.hpp"
#include "attn/attention/attention.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

using attn::Index;

using Exec = Kokkos::DefaultExecutionSpace;
using Memory = Exec::memory_space;
using X = attn::Tensor<float, 4, Memory>;

/// A shape of what is never touched.
X shape(Index b, Index h, Index n, Index d) { return X(nullptr, {b, h, n, d}); }

template <class Call>
std::string error(Call const& call) {
  try {
    call();
  } catch (attn::Error const& e) {
    return e.what();
  }
  return "no error";
}
std::string forward_error(X const& q, X const& k, X const& v, X const& out) {
  return error([&] { attn::attention(Exec(), attn::Poly<3>{}, q, k, v, out); });
}
bool contains(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }

TEST(AttentionErrors, NameTheFunctionAndAllShapes) {
  EXPECT_EQ(forward_error(shape(2, 3, 5, 8), shape(1, 3, 7, 8), shape(2, 3, 7, 4), shape(2, 3, 5, 4)),
            "attention: give q, k, v and out the same batch size; got q (2, 3, 5, 8), k (1, 3, 7, 8), v (2, 3, 7, 4), "
            "out (2, 3, 5, 4)");
}

TEST(AttentionErrors, AskForEqualWidthsOfQueriesAndKeys) {
  EXPECT_EQ(forward_error(shape(2, 3, 5, 8), shape(2, 3, 7, 6), shape(2, 3, 7, 4), shape(2, 3, 5, 4)),
            "attention: give q and k the same width D; got q (2, 3, 5, 8), k (2, 3, 7, 6)");
}

TEST(AttentionErrors, AskForAValueForEachKey) {
  EXPECT_EQ(forward_error(shape(2, 3, 5, 8), shape(2, 3, 7, 8), shape(2, 3, 9, 4), shape(2, 3, 5, 4)),
            "attention: give k and v the same heads and keys; got k (2, 3, 7, 8), v (2, 3, 9, 4)");
  EXPECT_TRUE(contains(forward_error(shape(2, 3, 5, 8), shape(2, 3, 7, 8), shape(2, 1, 7, 4), shape(2, 3, 5, 4)),
                       "same heads and keys"));
}

TEST(AttentionErrors, AskForWholeGroupsOfHeads) {
  EXPECT_EQ(forward_error(shape(2, 3, 5, 8), shape(2, 2, 7, 8), shape(2, 2, 7, 4), shape(2, 3, 5, 4)),
            "attention: make the query heads a multiple of the key heads; got q (2, 3, 5, 8), k (2, 2, 7, 8)");
}

TEST(AttentionErrors, AskForTheShapeOfTheOutput) {
  for (X const& out : {shape(2, 3, 5, 8), shape(2, 3, 7, 4), shape(2, 1, 5, 4)}) {
    EXPECT_TRUE(contains(forward_error(shape(2, 3, 5, 8), shape(2, 3, 7, 8), shape(2, 3, 7, 4), out),
                         "attention: out must be (B, H, N, E)"));
  }
}

TEST(AttentionErrors, AskForAUnitLastStride) {
  X const q(nullptr, {2, 3, 5, 8}, {240, 80, 16, 2});
  EXPECT_EQ(forward_error(q, shape(2, 3, 7, 8), shape(2, 3, 7, 4), shape(2, 3, 5, 4)),
            "attention: give q a last stride of 1 (a LayoutRight view has it); got 2");
  X const v(nullptr, {2, 3, 7, 4}, {28, 56, 1, 7});
  EXPECT_EQ(forward_error(shape(2, 3, 5, 8), shape(2, 3, 7, 8), v, shape(2, 3, 5, 4)),
            "attention: give v a last stride of 1 (a LayoutRight view has it); got 7");
}

TEST(AttentionErrors, AskForGradientsOfTheShapesOfTheirTensors) {
  X const q = shape(2, 3, 5, 8), k = shape(2, 3, 7, 8), v = shape(2, 3, 7, 4), out = shape(2, 3, 5, 4);
  attn::Saved<attn::Poly<3>, float, Memory> const saved;
  auto const backward_error = [&](X const& d_out, X const& d_q, X const& d_k, X const& d_v) {
    return error([&] { attn::attention_backward(Exec(), attn::Poly<3>{}, q, k, v, out, saved, d_out, d_q, d_k, d_v); });
  };
  EXPECT_TRUE(contains(backward_error(out, q, k, shape(2, 3, 7, 5)), "attention_backward"));
  EXPECT_TRUE(contains(backward_error(shape(2, 3, 5, 5), q, k, v), "attention_backward"));
  EXPECT_TRUE(contains(backward_error(shape(2, 3, 6, 4), shape(2, 3, 6, 8), k, v),
                       "attention_backward: give d_q, d_k and d_v"));
}

TEST(AttentionErrors, OfTheBackwardPassNameIt) {
  X const q = shape(2, 3, 5, 8), k = shape(2, 3, 7, 6), v = shape(2, 3, 7, 4), out = shape(2, 3, 5, 4);
  attn::Saved<attn::Poly<3>, float, Memory> const saved;
  EXPECT_EQ(error([&] { attn::attention_backward(Exec(), attn::Poly<3>{}, q, k, v, out, saved, out, q, k, v); }),
            "attention_backward: give q and k the same width D; got q (2, 3, 5, 8), k (2, 3, 7, 6)");
}

TEST(AttentionErrors, AskForThePointersThatPoliciesNeed) {
  X const x = shape(1, 1, 2, 4);
  EXPECT_EQ(
      error([&] { attn::attention(Exec(), attn::Poly<3, attn::DynamicScale>{}, x, x, x, x); }),
      "attention: give the activation a pointer to its trained numbers, as in DynamicScale{number}; a module keeps "
      "them itself");
  using Options = attn::AttentionOptions<attn::Both<attn::Causal, attn::KeyPadding>>;
  EXPECT_EQ(
      error([&] { attn::attention(Exec(), attn::Poly<3>{}, x, x, x, x, Options{}); }),
      "attention: give the mask KeyPadding the lengths of the sequences: KeyPadding{lengths}; a module takes them "
      "from its context: WithSequences(ctx, {.lengths = lengths})");
}

}  // namespace
