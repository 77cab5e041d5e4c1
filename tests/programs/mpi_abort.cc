// One rank calls MPI_Abort while the others wait in a barrier:  mpi_abort CODE [RANK, 1]
//
// In a world of one it is the only rank that aborts.
#include "program.h"

#include <mpi.h>

#include <algorithm>

int main(int argc, char** argv) {
  if (argc < 2) program::die("which code?");
  const int code = static_cast<int>(program::to_number(argv[1]));
  int aborting_rank = argc > 2 ? static_cast<int>(program::to_number(argv[2])) : 1;

  MPI_Init(&argc, &argv);
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  aborting_rank = std::min(aborting_rank, size - 1);
  if (rank == aborting_rank) MPI_Abort(MPI_COMM_WORLD, code);
  MPI_Barrier(MPI_COMM_WORLD);
  MPI_Finalize();
  return 0;
}
