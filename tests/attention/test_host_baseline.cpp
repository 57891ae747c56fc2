// The host kernels, compiled for the baseline of the architecture.
#include "attention/test_host.cpp"
