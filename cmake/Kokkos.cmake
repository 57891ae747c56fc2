# Where does Kokkos come from when the machine has none? On Debian: from binary packages of the unstable suite, unpacked
# into a private prefix. Nothing is installed, so this needs no root.
file(LOCK "${ATTN_KOKKOS_PREFIX}.lock" GUARD FILE TIMEOUT 900)
if(NOT EXISTS "${ATTN_KOKKOS_PREFIX}/usr")
  message(STATUS "Unpacking a private Kokkos into ${ATTN_KOKKOS_PREFIX}")
  execute_process(COMMAND sh "${CMAKE_CURRENT_LIST_DIR}/private_kokkos.sh" "${ATTN_KOKKOS_PREFIX}"
                  RESULT_VARIABLE ATTN_KOKKOS_FAILED ERROR_VARIABLE ATTN_KOKKOS_ERROR ERROR_STRIP_TRAILING_WHITESPACE)
  if(ATTN_KOKKOS_FAILED)
    message(STATUS "No private Kokkos: ${ATTN_KOKKOS_ERROR}")
  endif()
endif()
file(LOCK "${ATTN_KOKKOS_PREFIX}.lock" RELEASE)
find_package(Kokkos 4.6 QUIET PATHS "${ATTN_KOKKOS_PREFIX}/usr" NO_DEFAULT_PATH)
