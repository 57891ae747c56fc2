/// The gradients of an activation's parameters: what teams have gathered is added up in a fixed order.
#pragma once

#include "attn/attention/detail/team/tile.hpp"

namespace attn::detail {

/// Where the parts of the gradients of parameters lie, (B, heads, room, n_parameters): the first `tiles` of each head.
struct ParameterParts {
  int heads, room, tiles;
};

/// A team adds the parts of one head, or of all, to the gradient of one parameter, in a fixed order.
template <class Exec, class R, class G>
struct TeamParameterSum {
  using Team = typename Kokkos::TeamPolicy<Exec>::member_type;

  R const* parts;
  G* gradient;  ///< (H, n_parameters) or (n_parameters)
  ParameterParts place;
  int batch, n_parameters;
  bool per_head;
  TileSizes sizes = {};
  int level = 0;

  ATTN_FUNCTION R* scratch(ScratchArena& c) const { return c.take<R>(team_threads); }
  Index teams() const { return Index(per_head ? place.heads : 1) * n_parameters; }

  KOKKOS_FUNCTION void operator()(Team const& team) const {
    int const p = team.league_rank() % n_parameters, first_head = team.league_rank() / n_parameters;
    int const n_heads = per_head ? 1 : place.heads, tiles = place.tiles;
    R* const room = team_scratch(*this, team);
    R sum(0);
    for (Index part = team.team_rank(); part < Index(batch) * n_heads * tiles; part += team.team_size()) {
      Index const tile = part % tiles, head = first_head + part / tiles % n_heads, b = part / tiles / n_heads;
      sum += parts[((b * place.heads + head) * place.room + tile) * n_parameters + p];
    }
    sum = team_sum(team, room, sum);
    if (team.team_rank() == 0) gradient[team.league_rank()] += static_cast<G>(sum);
  }
};

}  // namespace attn::detail
