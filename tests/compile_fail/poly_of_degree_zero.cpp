// expected error: Poly: choose a power of at least 1
#include "attn/activation/poly.hpp"

int main() {
#ifdef ATTN_EXPECT_SUCCESS
  return attn::Poly<1>{}(0.0f, attn::Row{}) == 0 ? 0 : 1;
#else
  return attn::Poly<0>{}(0.0f, attn::Row{}) == 0 ? 0 : 1;
#endif
}
