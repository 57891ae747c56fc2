#include "accuracy.hpp"

namespace attn_cuda::accuracy {

TEST(TensorCores, ServeAndAreAsAccurateAsPromised_InFp16) { expect_accurate<Kokkos::Experimental::half_t>(2e-3); }

}  // namespace attn_cuda::accuracy
