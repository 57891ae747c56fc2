# Tests of a folder, compiled a few together: templates that they share are instantiated once.
#
# attn_unite_test(<layer> SOURCE): a part of the executable test_<layer>, whose option --tests_of=<file> runs those of one
# file. Each file stands in a namespace of its own, behind the headers of all, so that names need not differ.
# ATTN_UNITED_TESTS, which a folder may set, is the number of files that are compiled together.
set(ATTN_UNITED_TESTS 12)

function(attn_unite_test layer source)
  set(target test_${layer})
  set(headers ${CMAKE_CURRENT_BINARY_DIR}/headers_of_tests.hpp)
  if(NOT TARGET ${target})
    add_executable(${target})
    target_link_libraries(${target} PRIVATE attn_test_main)
    target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_compile_options(${target} PRIVATE ${ATTN_TEST_OPTIMIZATION})
    target_precompile_headers(${target} REUSE_FROM attn_json_headers)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${ATTN_UNITED_TESTS}
      UNITY_BUILD_UNIQUE_ID ATTN_TEST_FILE
      UNITY_BUILD_CODE_BEFORE_INCLUDE "#include \"${headers}\"\nnamespace ATTN_TEST_FILE {"
      UNITY_BUILD_CODE_AFTER_INCLUDE "}")
    file(GENERATE OUTPUT ${headers}
      CONTENT "#pragma once\n$<JOIN:$<REMOVE_DUPLICATES:$<TARGET_PROPERTY:${target},ATTN_INCLUDES>>,\n>\n")
  endif()
  target_sources(${target} PRIVATE ${source})
  file(STRINGS ${source} includes REGEX "^#include")
  set_property(TARGET ${target} APPEND PROPERTY ATTN_INCLUDES ${includes})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
endfunction()
