// The host kernels, compiled for AVX2: 16 registers of 8 floats.
#define ATTN_TEST_SCALARS float
#include "attention/test_host.cpp"
