# Do kernels reach devices by attn::launch alone?   cmake -DINCLUDE_DIR=DIR -P launches.cmake
# Kokkos::parallel_for stands in core/launch.hpp, and in loops that are for hosts.
cmake_minimum_required(VERSION 3.25)
set(host_loops attention/detail/host/parallel.hpp core/elementwise.hpp data/listops.hpp data/pathfinder_generator.hpp
  nn/parameters.hpp)
file(GLOB_RECURSE headers RELATIVE ${INCLUDE_DIR}/attn ${INCLUDE_DIR}/attn/*/*.hpp)
list(REMOVE_ITEM headers core/launch.hpp ${host_loops})
foreach(header IN LISTS headers)
  file(STRINGS ${INCLUDE_DIR}/attn/${header} calls REGEX "Kokkos::parallel_for\\(")
  if(calls)
    string(APPEND wrong "${header}: call attn::launch, not Kokkos::parallel_for\n")
  endif()
endforeach()
if(NOT headers)
  message(FATAL_ERROR "No headers under ${INCLUDE_DIR}/attn")
elseif(wrong)
  message(FATAL_ERROR "${wrong}")
endif()
