# attn for vcpkg: `vcpkg install attn --overlay-ports=cmake/packaging/vcpkg` in a checkout, whose files it installs.
set(VCPKG_BUILD_TYPE release) # header-only
get_filename_component(SOURCE_PATH "${CURRENT_PORT_DIR}/../../../.." ABSOLUTE)

vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS
        -DATTN_KOKKOS=find
        -DATTN_ENABLE_TESTS=OFF
        -DATTN_ENABLE_EXAMPLES=OFF
        -DATTN_ENABLE_BENCHMARKS=OFF
        -DATTN_ENABLE_DOCS=OFF
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(PACKAGE_NAME attn CONFIG_PATH lib/cmake/attn)
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug" "${CURRENT_PACKAGES_DIR}/lib")

file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
