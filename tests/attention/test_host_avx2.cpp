// The host kernels, compiled for AVX2.
#include "attention/test_host.cpp"
