// Every kind of scalar: double, narrow storage with accumulation in fp32, jets.
#include "attention_calls.hpp"

namespace attn_cuda {

template <class Scalar>
void all_kinds(View<Scalar> const& x) {
  attend<Scalar>(attn::Softmax{}, x);
  attend<Scalar>(attn::Poly<3, attn::FixedScale>{}, x);
}

void scalars(View<double> const& x, double const* scale, double* d_scale) {
  all_kinds<double>(x);
  attend<double>(attn::Poly<3, attn::BasicDynamicScale<double>>{{scale, d_scale}}, x);
}

void scalars(View<Kokkos::Experimental::half_t> const& x, float const* scale, float* d_scale) {
  all_kinds<Kokkos::Experimental::half_t>(x);
  attend<Kokkos::Experimental::half_t>(attn::Poly<3, attn::DynamicScale>{{scale, d_scale}}, x);
}

void scalars(View<Kokkos::Experimental::bhalf_t> const& x, float const* scale, float* d_scale) {
  all_kinds<Kokkos::Experimental::bhalf_t>(x);
  attend<Kokkos::Experimental::bhalf_t>(attn::Poly<3, attn::DynamicScale>{{scale, d_scale}}, x);
}

void scalars(View<attn::Jet<float, 1>> const& x, float const* scale, float* d_scale) {
  all_kinds<attn::Jet<float, 1>>(x);
  attend<attn::Jet<float, 1>>(attn::Poly<3, attn::DynamicScale>{{scale, d_scale}}, x);
}

void scalars(View<attn::Jet<double, 2, 1>> const& x) { all_kinds<attn::Jet<double, 2, 1>>(x); }

}  // namespace attn_cuda
