# Everything that scripts/setup installs.  Optional parts switch something off and say so in Summary.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(pugixml REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tl-expected REQUIRED)
find_package(Protobuf REQUIRED)
find_package(Boost 1.74 REQUIRED)
find_package(cxxopts REQUIRED)
pkg_check_modules(HWLOC REQUIRED IMPORTED_TARGET hwloc)
find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)

# For images that people have already: two files to copy, which need libc and nothing else.
option(MUSTER_STATIC "Link muster statically but for libc" OFF)
set(MUSTER_YAML_CPP yaml-cpp)
set(MUSTER_PUGIXML pugixml::pugixml)
set(MUSTER_FMT fmt::fmt)
set(MUSTER_HWLOC PkgConfig::HWLOC)
if(MUSTER_STATIC)
  find_library(MUSTER_STATIC_YAML_CPP libyaml-cpp.a REQUIRED)
  find_library(MUSTER_STATIC_PUGIXML libpugixml.a REQUIRED)
  find_library(MUSTER_STATIC_HWLOC libhwloc.a REQUIRED)
  set(MUSTER_YAML_CPP ${MUSTER_STATIC_YAML_CPP})
  set(MUSTER_PUGIXML ${MUSTER_STATIC_PUGIXML})
  set(MUSTER_FMT fmt::fmt-header-only)
  set(MUSTER_HWLOC ${MUSTER_STATIC_HWLOC})
endif()

# Test programs that call MPI need its headers; the launcher itself links no MPI.
find_program(MUSTER_MPICC NAMES mpicc.openmpi mpicc)
find_program(MUSTER_MPIRUN NAMES mpirun.openmpi mpirun)

# Found and named; the parts that use them come with placement and collectives.
find_path(MUSTER_CUDA_INCLUDE_DIR cuda.h HINTS /usr/local/cuda/include)
find_path(MUSTER_NCCL_INCLUDE_DIR nccl.h HINTS /usr/local/cuda/include)

if(MUSTER_BUILD_TESTS)
  find_package(GTest REQUIRED)
  find_program(MUSTER_TEST_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH)
endif()
