#include "accuracy.hpp"

namespace attn_cuda::accuracy {

TEST(TensorCores, ServeAndAreAsAccurateAsPromised_InTf32) { expect_accurate<float, attn::Tf32Products>(2e-3); }

}  // namespace attn_cuda::accuracy
