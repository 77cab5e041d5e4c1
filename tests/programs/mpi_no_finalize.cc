// Every rank leaves main() without MPI_Finalize, after a barrier:  mpi_no_finalize [CODE, 0]
#include "program.h"

#include <mpi.h>

int main(int argc, char** argv) {
  const int code = argc > 1 ? static_cast<int>(program::to_number(argv[1])) : 0;
  MPI_Init(&argc, &argv);
  MPI_Barrier(MPI_COMM_WORLD);
  return code;
}
