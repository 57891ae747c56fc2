/// Was this program started several times at once, as ranks of one job? Asked of the environment, before MPI is.
#pragma once

#include "attn/core/check.hpp"

#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>

namespace attn::io {

/// Which of how many processes this is, and what started them.
struct Launch {
  int rank = 0;
  int size = 1;
  std::string by = {};  ///< "mpirun", "srun"; empty where nothing did
};

namespace detail {

/// A variable of the environment that holds a whole number, or -1.
inline int number_of(char const* variable) {
  char const* const text = std::getenv(variable);
  if (text == nullptr) return -1;
  std::string_view const all = text;
  int number = -1;
  auto const [end, error] = std::from_chars(all.data(), all.data() + all.size(), number);
  return error == std::errc() && end == all.data() + all.size() ? number : -1;
}

}  // namespace detail

/// What the environment says: that of Open MPI, of MPICH and its relatives, of Slurm's srun. A batch script of Slurm
/// itself is none of several processes, however many its job asks for.
inline Launch launch() {
  struct Known {
    char const *size, *rank, *by;
  };
  for (Known const known :
       {Known{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "mpirun"}, Known{"PMI_SIZE", "PMI_RANK", "mpiexec"},
        Known{"SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "srun"}}) {
    int const size = detail::number_of(known.size), rank = detail::number_of(known.rank);
    if (size >= 1 && rank >= 0 && rank < size) return {rank, size, known.by};
  }
  return {};
}

/// Throws where this is one of several processes and the program cannot share its work: it would do the same work
/// several times, over the same files. `program` shares it when it is `built_with_mpi`.
inline void check_launch(Launch const& launch, bool shares, bool built_with_mpi) {
  if (launch.size == 1 || (shares && built_with_mpi)) return;
  ATTN_CHECK(!shares, launch.by, " started this program ", launch.size,
             " times, but it was built without MPI; build it with -DATTN_ENABLE_MPI=ON, or start it once");
  ATTN_CHECK(false, launch.by, " started this program ", launch.size,
             " times, but it does not share its work; start it once");
}

}  // namespace attn::io
