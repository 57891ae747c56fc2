# How is the documentation site built? The target `docs`, part of `all` where doxygen is installed: the pages of docs/ and
# the reference of the public headers, in build/site/html. tests/docs/test_site.cpp reads what doxygen leaves.
find_program(ATTN_DOXYGEN doxygen)
mark_as_advanced(ATTN_DOXYGEN)
set(ATTN_SITE_DIR ${PROJECT_BINARY_DIR}/site)
if(NOT ATTN_DOXYGEN)
  message(STATUS "Documentation site: left out, no doxygen")
  return()
endif()

configure_file(${PROJECT_SOURCE_DIR}/docs/site/Doxyfile.in ${ATTN_SITE_DIR}/Doxyfile @ONLY)
file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/*.md ${PROJECT_SOURCE_DIR}/docs/site/*)
add_custom_command(OUTPUT ${ATTN_SITE_DIR}/tags.xml
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${ATTN_SITE_DIR}/html
  COMMAND ${ATTN_DOXYGEN} ${ATTN_SITE_DIR}/Doxyfile
  DEPENDS ${ATTN_SITE_DIR}/Doxyfile ${pages} ${ATTN_HEADERS}
  COMMENT "Building the documentation site" VERBATIM)
add_custom_target(docs ALL DEPENDS ${ATTN_SITE_DIR}/tags.xml)
