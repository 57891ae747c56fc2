// Calls that cannot be right, and what they are told.
#include "attn/activation/activation.hpp"
#include "attn/attention/attention.hpp"
#include "attn/attention/norms.hpp"

#include <string>

#include "support.hpp"

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

/// Memory for tensors of a call with B = 1, H = 2, N = 3, M = 3, D = E = 4.
struct Call {
  attn_test::Array<float, 4> q{{1, 2, 3, 4}}, k{{1, 2, 3, 4}}, v{{1, 2, 3, 4}}, out{{1, 2, 3, 4}}, d_out{{1, 2, 3, 4}},
      d_q{{1, 2, 3, 4}}, d_k{{1, 2, 3, 4}}, d_v{{1, 2, 3, 4}};

  std::string forward(X const& to, auto const& saved) const {
    return error([&] { attn::attention(Exec(), attn::Softmax{}, q.tensor(), k.tensor(), v.tensor(), to, saved); });
  }
  std::string backward(X const& to_q, X const& to_k, X const& to_v, auto const& saved) const {
    return error([&] {
      attn::attention_backward(Exec(), attn::Softmax{}, q.tensor(), k.tensor(), v.tensor(), out.tensor(), saved,
                               d_out.tensor(), to_q, to_k, to_v);
    });
  }
};
using SavedRows = attn::Saved<attn::Softmax, float, Memory>;

TEST(AttentionErrors, AskForRoomInWhatIsSaved) {
  Call const call;
  EXPECT_EQ(call.forward(call.out, SavedRows(1, 2, 2)),
            "attention: give `saved` room for (B, H, N) = (1, 2, 3), it has room for (1, 2, 2)");
  EXPECT_EQ(call.forward(call.out, SavedRows()), "no error");  // nothing is saved
  EXPECT_EQ(call.backward(call.d_q, call.d_k, call.d_v, SavedRows(1, 1, 3)),
            "attention_backward: give `saved` room for (B, H, N) = (1, 2, 3), it has room for (1, 1, 3)");
  EXPECT_EQ(call.backward(call.d_q, call.d_k, call.d_v, SavedRows()),
            "attention_backward: give what the forward pass with this activation saved; `saved` lacks memory");
}

TEST(AttentionErrors, AskForResultsThatOverlapNothing) {
  Call const call;
  SavedRows const saved(1, 2, 3);
  EXPECT_EQ(call.forward(call.q, saved), "attention: give out memory of its own; it overlaps that of q");
  EXPECT_EQ(call.forward(call.v, saved), "attention: give out memory of its own; it overlaps that of v");
  EXPECT_EQ(call.forward(X(call.out.tensor().data(), {1, 2, 3, 4}, {0, 0, 4, 1}), saved),
            "attention: give out a place for each element; dimension 1 has a stride of 0");
  EXPECT_EQ(call.backward(call.d_q, call.d_q, call.d_v, saved),
            "attention_backward: give d_q memory of its own; it overlaps that of d_k");
  EXPECT_EQ(call.backward(call.d_q, call.d_k, call.d_k, saved),
            "attention_backward: give d_k memory of its own; it overlaps that of d_v");
  EXPECT_EQ(call.backward(call.d_q, call.d_k, call.d_out, saved),
            "attention_backward: give d_v memory of its own; it overlaps that of d_out");
  // Parts of one fused projection, (B, N, 3, H, D), lie side by side.
  attn_test::Array<float, 4> const fused({3, 3, 2, 4});
  auto const part = [&](Index which) { return X(fused.tensor().data() + which * 8, {1, 2, 3, 4}, {72, 4, 24, 1}); };
  EXPECT_EQ(call.backward(part(0), part(1), part(2), saved), "no error");
  EXPECT_EQ(call.backward(part(0), part(1), X(part(1).data() + 4, {1, 2, 3, 4}, {72, 4, 24, 1}), saved),
            "attention_backward: give d_k memory of its own; it overlaps that of d_v");
}

TEST(AttentionErrors, AskForTheShapesOfNorms) {
  Call const call;
  attn_test::Array<float, 2> const heads({1, 2}), other({1, 3});
  attn_test::Array<float, 3> const rows({1, 2, 3}), few({1, 2, 2});
  auto const run = [&](attn::AttentionStatistics<float> const& norms) {
    return error([&] { attn::attention_norms(Exec(), attn::Softmax{}, call.q.tensor(), call.k.tensor(), norms); });
  };
  EXPECT_EQ(run({.frobenius = heads.tensor(), .jacobian = heads.tensor(), .sum = rows.tensor()}), "no error");
  EXPECT_EQ(run({.frobenius = other.tensor()}), "attention: give frobenius the shape (1, 2)");
  EXPECT_EQ(run({.frobenius = heads.tensor(), .entropy = few.tensor()}), "attention: give entropy the shape (1, 2, 3)");
  attn::Saved<attn::Softmax, float, Memory> const saved(1, 2, 3);
  EXPECT_NE(error([&] { attn::log_sum_exp(Exec(), saved, few.tensor()); }), "no error");
}

}  // namespace
