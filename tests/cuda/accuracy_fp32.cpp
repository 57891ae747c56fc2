#include "accuracy.hpp"

namespace attn_cuda::accuracy {

TEST(TensorCores, ServeAndAreAsAccurateAsPromised_InFp32) { expect_accurate<float>(1e-5); }

}  // namespace attn_cuda::accuracy
