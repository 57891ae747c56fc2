# Where does Kokkos come from when the machine has none? ATTN_KOKKOS says:
#
#   find    from the machine: an installed one, Kokkos_ROOT, CMAKE_PREFIX_PATH
#   fetch   a pinned release, downloaded, held against its checksum, and built once into ATTN_KOKKOS_PREFIX (a minute of a
#           processor; OpenMP where the compiler has it)
#   debian  Debian's binary packages, of the unstable suite, unpacked into ATTN_KOKKOS_PREFIX (Debian alone; seconds)
#   auto    find; with ATTN_PROVISION then fetch, and debian where there is no network to the release
#
# Nothing is installed, so none of this needs root.
set(ATTN_KOKKOS auto CACHE STRING "Where Kokkos comes from: auto, find, fetch or debian")
set_property(CACHE ATTN_KOKKOS PROPERTY STRINGS auto find fetch debian)
set(ATTN_KOKKOS_URL "https://github.com/kokkos/kokkos/releases/download/5.2.2/kokkos-5.2.2.tar.gz" CACHE STRING
    "Where the pinned release of Kokkos is: this address or a copy's")
set(ATTN_KOKKOS_PREFIX "${PROJECT_BINARY_DIR}/kokkos" CACHE PATH "Where a private Kokkos goes (build trees may share it)")
mark_as_advanced(ATTN_KOKKOS ATTN_KOKKOS_URL ATTN_KOKKOS_PREFIX)
set(ATTN_KOKKOS_SHA256 d6557aaef39302282a15f9c770433d1fcdf4e961dfd6d9ed726b9d0d0f546b9f)

# attn_fetch_kokkos(): builds the pinned release into ATTN_KOKKOS_PREFIX/fetched, or says why not.
function(attn_fetch_kokkos)
  set(work ${ATTN_KOKKOS_PREFIX}.fetch)
  if(FETCHCONTENT_SOURCE_DIR_ATTN_KOKKOS)  # a copy that the user has
    set(source ${FETCHCONTENT_SOURCE_DIR_ATTN_KOKKOS})
  else()
    set(archive ${work}/kokkos.tar.gz)
    message(STATUS "Downloading ${ATTN_KOKKOS_URL}")
    file(DOWNLOAD ${ATTN_KOKKOS_URL} ${archive} STATUS status TIMEOUT 300 INACTIVITY_TIMEOUT 15)
    list(POP_FRONT status failed reason)
    if(failed)
      message(STATUS "No Kokkos from there: ${reason}")
      return()
    endif()
    file(SHA256 ${archive} hash)
    if(NOT hash STREQUAL ATTN_KOKKOS_SHA256)
      if(ATTN_KOKKOS STREQUAL "auto")  # a portal's page, say
        message(STATUS "No Kokkos from there: the SHA-256 of what came is ${hash}")
        return()
      endif()
      message(FATAL_ERROR "Set ATTN_KOKKOS_URL to the release of Kokkos whose SHA-256 is ${ATTN_KOKKOS_SHA256}: "
                          "${ATTN_KOKKOS_URL} has ${hash}.")
    endif()
    include(FetchContent)
    FetchContent_Declare(attn_kokkos URL ${archive} URL_HASH SHA256=${ATTN_KOKKOS_SHA256} DOWNLOAD_EXTRACT_TIMESTAMP OFF
                         SOURCE_SUBDIR none)  # unpacked, not added: a build of its own serves other build trees, too
    FetchContent_MakeAvailable(attn_kokkos)
    set(source ${attn_kokkos_SOURCE_DIR})
  endif()

  find_package(OpenMP QUIET COMPONENTS CXX)
  message(STATUS "Building Kokkos into ${ATTN_KOKKOS_PREFIX}/fetched, see ${work}/log")
  set(generator -G ${CMAKE_GENERATOR})
  if(CMAKE_MAKE_PROGRAM)
    list(APPEND generator -DCMAKE_MAKE_PROGRAM=${CMAKE_MAKE_PROGRAM})
  endif()
  set(step_1 ${CMAKE_COMMAND} -S ${source} -B ${work}/build ${generator} -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}
      -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_STANDARD=20 -DBUILD_SHARED_LIBS=ON -DKokkos_ENABLE_SERIAL=ON
      -DKokkos_ENABLE_OPENMP=${OpenMP_CXX_FOUND} -DCMAKE_INSTALL_LIBDIR=lib
      -DCMAKE_INSTALL_PREFIX=${ATTN_KOKKOS_PREFIX}/unfinished)
  set(step_2 ${CMAKE_COMMAND} --build ${work}/build --parallel)
  set(step_3 ${CMAKE_COMMAND} --install ${work}/build)
  file(REMOVE_RECURSE ${ATTN_KOKKOS_PREFIX}/unfinished)
  file(MAKE_DIRECTORY ${work})
  foreach(step IN ITEMS step_1 step_2 step_3)
    execute_process(COMMAND ${${step}} RESULT_VARIABLE failed OUTPUT_FILE ${work}/log ERROR_FILE ${work}/log)
    if(failed)
      message(STATUS "Building Kokkos: failed, see ${work}/log")
      return()
    endif()
  endforeach()
  file(RENAME ${ATTN_KOKKOS_PREFIX}/unfinished ${ATTN_KOKKOS_PREFIX}/fetched)
  file(REMOVE_RECURSE ${work}/build)
endfunction()

# attn_unpack_kokkos(): Debian's packages into ATTN_KOKKOS_PREFIX/usr, or says why not.
function(attn_unpack_kokkos)
  message(STATUS "Unpacking a private Kokkos into ${ATTN_KOKKOS_PREFIX}")
  execute_process(COMMAND sh "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/private_kokkos.sh" "${ATTN_KOKKOS_PREFIX}"
                  RESULT_VARIABLE failed ERROR_VARIABLE reason ERROR_STRIP_TRAILING_WHITESPACE)
  if(failed)
    message(STATUS "No private Kokkos: ${reason}")
  endif()
endfunction()

# attn_find_kokkos(): defines Kokkos::kokkos, from where ATTN_KOKKOS says.
macro(attn_find_kokkos)
  if(NOT ATTN_KOKKOS MATCHES "^(auto|find|fetch|debian)$")
    message(FATAL_ERROR "Set ATTN_KOKKOS to auto, find, fetch or debian, got '${ATTN_KOKKOS}'.")
  endif()
  if(ATTN_KOKKOS MATCHES "fetch|debian" AND Kokkos_DIR)  # found before ATTN_KOKKOS was changed?
    set(ATTN_KOKKOS_HOME ${ATTN_KOKKOS_PREFIX}/usr)
    if(ATTN_KOKKOS STREQUAL "fetch")
      set(ATTN_KOKKOS_HOME ${ATTN_KOKKOS_PREFIX}/fetched)
    endif()
    cmake_path(IS_PREFIX ATTN_KOKKOS_HOME "${Kokkos_DIR}" NORMALIZE ATTN_KOKKOS_FITS)
    if(NOT ATTN_KOKKOS_FITS)
      unset(Kokkos_DIR CACHE)
    endif()
  endif()
  if(NOT TARGET Kokkos::kokkos AND ATTN_KOKKOS MATCHES "auto|find")
    find_package(Kokkos 4.6 QUIET)
  endif()
  # One that another build tree has put there is taken even where nothing may be installed: the preset dev does.
  if(NOT TARGET Kokkos::kokkos AND
     (ATTN_KOKKOS MATCHES "fetch|debian" OR ATTN_PROVISION OR EXISTS ${ATTN_KOKKOS_PREFIX}/fetched OR
      EXISTS ${ATTN_KOKKOS_PREFIX}/usr) AND NOT ATTN_KOKKOS STREQUAL "find")
    file(LOCK "${ATTN_KOKKOS_PREFIX}.lock" GUARD FILE TIMEOUT 1800)
    if(ATTN_KOKKOS MATCHES "auto|fetch" AND NOT EXISTS ${ATTN_KOKKOS_PREFIX}/fetched AND
       NOT (ATTN_KOKKOS STREQUAL "auto" AND EXISTS ${ATTN_KOKKOS_PREFIX}/usr))
      attn_fetch_kokkos()
    endif()
    if(ATTN_KOKKOS MATCHES "auto|debian" AND NOT EXISTS ${ATTN_KOKKOS_PREFIX}/usr AND
       NOT (ATTN_KOKKOS STREQUAL "auto" AND EXISTS ${ATTN_KOKKOS_PREFIX}/fetched))
      attn_unpack_kokkos()
    endif()
    file(LOCK "${ATTN_KOKKOS_PREFIX}.lock" RELEASE)
    if(ATTN_KOKKOS MATCHES "auto|fetch")
      find_package(Kokkos 4.6 QUIET PATHS ${ATTN_KOKKOS_PREFIX}/fetched NO_DEFAULT_PATH)
    endif()
    if(ATTN_KOKKOS MATCHES "auto|debian" AND NOT TARGET Kokkos::kokkos)
      find_package(Kokkos 4.6 QUIET PATHS ${ATTN_KOKKOS_PREFIX}/usr NO_DEFAULT_PATH)
    endif()
  endif()
endmacro()
