// Joins the MPI world, prints "ready" from every rank, sleeps, and finalizes:  mpi_sleep [SECONDS,
// 600]
#include "program.h"

#include <mpi.h>

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? program::to_seconds(argv[1]) : 600;
  MPI_Init(&argc, &argv);
  MPI_Barrier(MPI_COMM_WORLD);
  program::write_all(STDOUT_FILENO, "ready\n");
  program::sleep_seconds(seconds);
  MPI_Finalize();
  return 0;
}
