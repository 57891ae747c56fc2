#include "differential.hpp"

namespace attn_cuda::differential {

TEST(Differential, CubeWithATrainedScale) {
  expect_right_in_all_formats([](float const* scale, float* gradient) {
    return attn::Poly<3, attn::DynamicScale>{{scale, gradient}};
  });
}

}  // namespace attn_cuda::differential
