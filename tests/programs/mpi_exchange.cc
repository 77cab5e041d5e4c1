// Every rank sends a large message to the next one, and checks the one that it gets:
//   mpi_exchange [--bytes N]   N bytes [8M]: above what Open MPI sends at once, so both ways are
//   used
#include "program.h"

#include <mpi.h>

#include <vector>

namespace {

unsigned char byte_of(int rank, std::size_t offset) {
  return static_cast<unsigned char>((offset * 131 + offset / 251 + static_cast<std::size_t>(rank)) &
                                    0xFF);
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t bytes = 8 << 20;
  program::Arguments arguments(argc, argv);
  while (arguments.next()) {
    if (arguments.name() != "--bytes") arguments.unknown();
    bytes = program::to_bytes(arguments.value());
  }

  MPI_Init(&argc, &argv);
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const int next = (rank + 1) % size;
  const int before = (rank + size - 1) % size;
  std::vector<unsigned char> sent(bytes);
  std::vector<unsigned char> got(bytes);
  for (std::size_t i = 0; i < bytes; ++i) sent[i] = byte_of(rank, i);
  MPI_Sendrecv(sent.data(), static_cast<int>(bytes), MPI_BYTE, next, 0, got.data(),
               static_cast<int>(bytes), MPI_BYTE, before, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < bytes; ++i) wrong += got[i] == byte_of(before, i) ? 0 : 1;
  std::printf("rank %d of %d got %zu bytes, %zu wrong\n", rank, size, got.size(), wrong);
  std::fflush(stdout);
  MPI_Finalize();
  return wrong == 0 ? 0 : 1;
}
