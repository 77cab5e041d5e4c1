# muster_settings: what every target of ours links; third-party code does not.
add_library(muster_settings INTERFACE)
target_include_directories(muster_settings INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/include)
target_compile_definitions(muster_settings INTERFACE _GNU_SOURCE
  $<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS>)
target_compile_options(muster_settings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
  -Woverloaded-virtual -Wold-style-cast -Wcast-align -Wextra-semi -Wno-missing-field-initializers
  $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond -Wduplicated-branches -Wlogical-op>
  # GCC 12 reports std::string's own code when it is inlined (bug 105329 and kin).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds -Wno-restrict
    -Wno-stringop-overread -Wno-stringop-overflow>
  $<$<BOOL:${MUSTER_WERROR}>:-Werror>)
if(MUSTER_SANITIZE)
  target_compile_options(muster_settings INTERFACE
    -fsanitize=${MUSTER_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(muster_settings INTERFACE -fsanitize=${MUSTER_SANITIZE})
  if(MUSTER_SANITIZE_LESS)
    target_compile_options(muster_settings INTERFACE -fno-sanitize=${MUSTER_SANITIZE_LESS})
  endif()
  if(MUSTER_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Asio has fences, which GCC's thread sanitizer does not follow; its loop stays on one thread.
    target_compile_options(muster_settings INTERFACE -Wno-tsan)
  endif()
endif()

# The standard headers that most of our files include, compiled once.  Every file still includes what
# it uses: -DMUSTER_PCH=OFF builds without.
option(MUSTER_PCH "Use a precompiled header" ON)
set(MUSTER_PCH_HEADERS <algorithm> <chrono> <filesystem> <functional> <map> <memory> <optional> <string>
  <string_view> <variant> <vector> <tl/expected.hpp>)

function(muster_use_pch name)
  muster_use_pch_of(muster_pch ${name} "tl::expected" "")
endfunction()

# The same with GoogleTest's, for unit tests.
function(muster_use_test_pch name)
  muster_use_pch_of(muster_test_pch ${name} "tl::expected;GTest::gmock"
    "<gmock/gmock.h>;<gtest/gtest.h>")
endfunction()

function(muster_use_pch_of pch name libraries more_headers)
  if(NOT MUSTER_PCH)
    return()
  endif()
  if(NOT TARGET ${pch})
    file(WRITE ${CMAKE_BINARY_DIR}/pch/${pch}.cc "")
    add_library(${pch} OBJECT ${CMAKE_BINARY_DIR}/pch/${pch}.cc)
    target_link_libraries(${pch} PUBLIC muster_settings ${libraries})
    target_precompile_headers(${pch} PRIVATE ${MUSTER_PCH_HEADERS} ${more_headers})
  endif()
  target_precompile_headers(${name} REUSE_FROM ${pch})
endfunction()

# muster_library(NAME SOURCES... LINK libraries... PRIVATE_LINK libraries...)
function(muster_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK;PRIVATE_LINK" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC muster_settings ${arg_LINK} PRIVATE ${arg_PRIVATE_LINK})
  muster_use_pch(${name})
endfunction()
