# How are the project's own executables compiled? Flags stay out of attn::attn, whose users choose their own.
add_library(attn_own_flags INTERFACE)
target_link_libraries(attn_own_flags INTERFACE attn::attn)
target_compile_options(attn_own_flags INTERFACE
  $<$<CXX_COMPILER_ID:GNU,Clang>:-Wall -Wextra -fno-math-errno -ffp-contract=fast>
  $<$<BOOL:${ATTN_WERROR}>:-Werror>)
# g++ 12 says so of its own intrinsics of AVX-512, where Eigen calls them.
if(ATTN_WERROR AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(attn_own_flags INTERFACE -Wno-error=uninitialized -Wno-error=maybe-uninitialized)
endif()
target_link_libraries(attn_own_flags INTERFACE $<$<BOOL:${ATTN_NATIVE}>:attn_native>)

# g++ collects the garbage of a translation unit again and again, as if there were little memory. Where each job may have
# 3 GB, letting it lie takes an eighth off the time; the largest file then takes 1.8 GB.
cmake_host_system_information(RESULT memory QUERY TOTAL_PHYSICAL_MEMORY)  # MiB
cmake_host_system_information(RESULT processors QUERY NUMBER_OF_LOGICAL_CORES)
math(EXPR needed "3000 * (${processors} + 2)")  # Ninja runs two jobs more than there are processors
if(memory GREATER_EQUAL needed)
  target_compile_options(attn_own_flags INTERFACE
    $<$<CXX_COMPILER_ID:GNU>:--param=ggc-min-expand=400 --param=ggc-min-heapsize=2000000>)
endif()
# nvcc_wrapper, which compiles all of a Kokkos with CUDA, takes a header for a source: `-x c++-header` goes to the host's
# compiler, after nvcc made an object file of it under the name of the precompiled header.
if(Kokkos_ENABLE_CUDA)
  set(CMAKE_DISABLE_PRECOMPILE_HEADERS ON)
  target_compile_definitions(attn_own_flags INTERFACE EIGEN_NO_CUDA)  # no kernel calls Eigen, of whose functions nvcc warns
endif()
# Where GNU's other linker is installed, it takes half of the time for some hundred tests.
include(CheckLinkerFlag)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT Kokkos_ENABLE_CUDA AND NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize=|-fuse-ld=")
  check_linker_flag(CXX -fuse-ld=gold ATTN_HAS_GOLD)
  if(ATTN_HAS_GOLD)
    target_link_options(attn_own_flags INTERFACE -fuse-ld=gold)
  endif()
endif()
if(ATTN_CUDA_WIDTHS)  # fewer kernels to compile: attn/attention/detail/cuda/launch.hpp
  target_compile_definitions(attn_own_flags INTERFACE "ATTN_CUDA_WIDTHS=${ATTN_CUDA_WIDTHS}")
endif()
if(ATTN_CUDA_HOPPER)  # attn/attention/detail/hopper/block.hpp: code for sm_90a in place of that for sm_90
  if(NOT "HOPPER90" IN_LIST Kokkos_ARCH)
    message(FATAL_ERROR "Point Kokkos_ROOT at a Kokkos that was built with Kokkos_ARCH_HOPPER90, or configure without "
                        "ATTN_CUDA_HOPPER: ${Kokkos_DIR} is for ${Kokkos_ARCH}.")
  endif()
  target_compile_definitions(attn_own_flags INTERFACE ATTN_CUDA_HOPPER)
  foreach(property IN ITEMS INTERFACE_COMPILE_OPTIONS INTERFACE_LINK_OPTIONS)
    get_target_property(flags Kokkos::kokkoscore ${property})
    string(REPLACE "-arch=sm_90" "-gencode=arch=compute_90a,code=sm_90a" flags "${flags}")
    set_target_properties(Kokkos::kokkoscore PROPERTIES ${property} "${flags}")
  endforeach()
endif()

# The commit is looked up by each build, and compiled alone.
set(ATTN_COMMIT_SOURCE ${PROJECT_BINARY_DIR}/commit.cpp)
add_custom_target(attn_commit_source BYPRODUCTS ${ATTN_COMMIT_SOURCE} COMMENT "" VERBATIM
  COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} -DSOURCE=${ATTN_COMMIT_SOURCE}
          -P ${CMAKE_CURRENT_LIST_DIR}/Commit.cmake)
add_library(attn_commit STATIC ${ATTN_COMMIT_SOURCE})
add_dependencies(attn_commit attn_commit_source)
target_include_directories(attn_commit PUBLIC ${CMAKE_CURRENT_LIST_DIR})
