# The release that cmake/Kokkos.cmake pins. What is published of it is its SHA-256, where vcpkg asks for SHA-512.
vcpkg_download_distfile(ARCHIVE
    URLS "https://github.com/kokkos/kokkos/releases/download/${VERSION}/kokkos-${VERSION}.tar.gz"
    FILENAME "kokkos-${VERSION}.tar.gz"
    SKIP_SHA512
    ALWAYS_REDOWNLOAD
)
file(SHA256 "${ARCHIVE}" hash)
if(NOT hash STREQUAL "d6557aaef39302282a15f9c770433d1fcdf4e961dfd6d9ed726b9d0d0f546b9f")
    message(FATAL_ERROR "kokkos: the archive has another checksum than the release, ${hash}")
endif()
vcpkg_extract_source_archive(SOURCE_PATH ARCHIVE "${ARCHIVE}")

vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS
        -DCMAKE_CXX_STANDARD=20
        -DKokkos_ENABLE_SERIAL=ON
        -DKokkos_ENABLE_OPENMP=ON
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(PACKAGE_NAME Kokkos CONFIG_PATH lib/cmake/Kokkos)
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include" "${CURRENT_PACKAGES_DIR}/bin" "${CURRENT_PACKAGES_DIR}/debug/bin")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
