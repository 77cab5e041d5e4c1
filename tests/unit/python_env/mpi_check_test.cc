#include "launcher/python_env/mpi_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::python_env {
namespace {

using ::testing::HasSubstr;

TEST(Mpi4pyWarning, IsForAnotherMpiAndForNone) {
  EXPECT_EQ(mpi4py_warning("Open MPI v4.1.4, package: Debian OpenMPI", "", "5.0.1"), "");
  EXPECT_THAT(mpi4py_warning("MPICH Version: 4.2", "", "4.1.4"),
              HasSubstr("uses MPICH Version: 4.2, and mpirun is Open MPI 4.1.4"));
  EXPECT_THAT(mpi4py_warning("", "libmpi.so.12: cannot open shared object file", "4.1.4"),
              HasSubstr("does not load (libmpi.so.12: cannot open shared object file)"));
}

}  // namespace
}  // namespace muster::python_env
