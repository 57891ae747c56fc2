# What does `cmake --install` leave? The headers and a package that finds exactly what this build was configured with.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(ATTN_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/attn)
set(ATTN_FIND_DEPENDENCY_CALLS)
foreach(dependency IN LISTS ATTN_FIND_DEPENDENCIES)
  if(dependency MATCHES "^Kokkos ")
    string(APPEND dependency " HINTS \"${Kokkos_DIR}\" \"\${PACKAGE_PREFIX_DIR}\"")
  endif()
  string(APPEND ATTN_FIND_DEPENDENCY_CALLS "find_dependency(${dependency})\n")
endforeach()

set(ATTN_HAS_MPI FALSE)
if(ATTN_ENABLE_MPI)
  set(ATTN_HAS_MPI TRUE)
endif()
set(ATTN_HAS_CUDA FALSE)
if(Kokkos_ENABLE_CUDA)
  set(ATTN_HAS_CUDA TRUE)
endif()
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/attnConfig.cmake.in ${PROJECT_BINARY_DIR}/package/attnConfig.cmake
                              INSTALL_DESTINATION ${ATTN_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/attnConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)

install(TARGETS attn attn_native EXPORT attnTargets FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
                                        FILE_SET cuda_headers DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
                                        FILE_SET mpi_headers DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(ATTN_ENABLE_MPI)  # in a file of its own, so that others need no MPI
  install(TARGETS attn_mpi EXPORT attnMpiTargets)
  install(EXPORT attnMpiTargets NAMESPACE attn:: DESTINATION ${ATTN_PACKAGE_DIR})
endif()
install(EXPORT attnTargets NAMESPACE attn:: DESTINATION ${ATTN_PACKAGE_DIR})
install(FILES ${PROJECT_BINARY_DIR}/package/attnConfig.cmake ${PROJECT_BINARY_DIR}/package/attnConfigVersion.cmake
              ${CMAKE_CURRENT_LIST_DIR}/FindDNNL.cmake ${CMAKE_CURRENT_LIST_DIR}/FindCBLAS.cmake
        DESTINATION ${ATTN_PACKAGE_DIR})
