// Prints its place in the MPI world after an allreduce that every rank checks.
#include "program.h"

#include <mpi.h>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const int own = rank + 1;
  int sum = 0;
  MPI_Allreduce(&own, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  std::printf("rank %d of %d sum %d\n", rank, size, sum);
  std::fflush(stdout);
  MPI_Finalize();
  return sum == size * (size + 1) / 2 ? 0 : 1;
}
