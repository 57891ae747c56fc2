#include "differential.hpp"

namespace attn_cuda::differential {

TEST(Differential, Softmax) {
  expect_right_in_all_formats([](float const*, float*) { return attn::Softmax{}; });
}

}  // namespace attn_cuda::differential
