#include "differential.hpp"

namespace attn_cuda::differential {

TEST(Differential, Cube) {
  expect_right_in_all_formats([](float const*, float*) { return attn::Poly<3>{}; });
}

}  // namespace attn_cuda::differential
