// The host kernels, compiled for the baseline of the architecture: 16 registers of 2 doubles.
#define ATTN_TEST_SCALARS double
#include "attention/test_host.cpp"
