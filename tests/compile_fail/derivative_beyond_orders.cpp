// expected error: pde::d: the residual asks for a derivative that its jets do not carry: raise the problem's Orders
#include "attn/pde/residual.hpp"

struct Heat {
#if defined(ATTN_EXPECT_SUCCESS)
  using Orders = attn::pde::Orders<2, 1>;
#else
  using Orders = attn::pde::Orders<1, 1>;
#endif
  template <class U>
  auto operator()(U const& u) const {
    return attn::pde::d<0, 1>(u) - attn::pde::d<2, 0>(u);
  }
};

auto used() { return attn::pde::detail::used_derivatives<Heat::Orders>(Heat{}); }
