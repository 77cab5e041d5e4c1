// Rank 0 ends with 0 at once; the others go on for a second, print "rank R went on", and end with
// 0.
//
// All of them finalize first (finalizing is collective, so nobody can go on with MPI after it);
// with
// --skip-finalize nobody does.
#include "program.h"

#include <mpi.h>

int main(int argc, char** argv) {
  const bool finalize = argc < 2 || std::string_view(argv[1]) != "--skip-finalize";
  MPI_Init(&argc, &argv);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Barrier(MPI_COMM_WORLD);
  if (finalize) MPI_Finalize();
  if (rank == 0) _exit(0);
  program::sleep_seconds(1);
  std::printf("rank %d went on\n", rank);
  std::fflush(stdout);
  _exit(0);
}
