set(Kokkos_DEVICES SERIAL)
add_library(Kokkos::kokkos INTERFACE IMPORTED)
