// A program linked to another MPI library than mpirun's: prints its world of one, sleeps a second.
#include "program.h"

extern "C" int muster_fake_mpich_world_size();

int main() {
  program::write_all(STDOUT_FILENO,
                     "rank 0 of " + std::to_string(muster_fake_mpich_world_size()) + "\n");
  program::sleep_seconds(1);
  return 0;
}
