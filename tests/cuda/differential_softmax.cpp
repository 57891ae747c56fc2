#include "differential.hpp"

namespace attn_cuda::differential {

TEST(Differential, Softmax) {
  expect_right_in_all_formats([](float const*, float*) { return attn::Softmax{}; });
}

// A query that sees one key alone has its value: whether TMA, or the instruction of other kernels, rounds to the
// nearest. The portable kernels, which serve where no others were compiled (ATTN_CUDA_WIDTHS), round nothing.
TEST(Differential, Tf32IsTheNearest) {
  attn::Extents<4> const extents = {1, 2, 200, 64};
  Numbers<float> const q(extents, Layout::dense, 1), k(extents, Layout::dense, 2), v(extents, Layout::dense, 3),
      out(extents, Layout::dense, 9);
  attn::AttentionOptions<AnyMask, attn::NoNorms, attn::Tf32Products> const options{.mask = {{0, 0}, 1 << 20, nullptr}};
  Exec const exec;
  auto const kernel = attn::describe(exec, attn::Softmax{}, q.tensor, k.tensor, v.tensor, out.tensor, options);
  bool const rounds = kernel.find("tf32") != std::string::npos;
  attn::attention(exec, attn::Softmax{}, q.tensor, k.tensor, v.tensor, out.tensor, options);
  exec.fence();
  auto const got = Wide(out).on_host(), want = Wide(v).on_host();
  for (std::size_t i = 0; i < want.size(); ++i) {
    double const last_place = std::ldexp(1.0, std::ilogb(want[i]) - 10);
    EXPECT_LE(std::abs(got[i] - want[i]), rounds ? last_place / 2 : 0) << want[i] << " by " << kernel;
  }
  EXPECT_EQ(got != want, rounds) << kernel;
}

}  // namespace attn_cuda::differential
