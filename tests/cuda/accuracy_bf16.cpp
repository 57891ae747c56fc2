#include "accuracy.hpp"

namespace attn_cuda::accuracy {

TEST(TensorCores, ServeAndAreAsAccurateAsPromised_InBf16) { expect_accurate<Kokkos::Experimental::bhalf_t>(1e-2); }

}  // namespace attn_cuda::accuracy
