// Stands in for another MPI library than mpirun's: what counts is its file name, libmpich.so.12.
// Its world is always one rank, which is what a real one makes of itself under a foreign mpirun.
extern "C" int muster_fake_mpich_world_size() {
  return 1;
}
