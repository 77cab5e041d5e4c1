// Where the shared memory of MPI ranks goes.  Open MPI makes a file of 4 MiB per rank, Open MPI 5
// of 16 MiB; it asks each time whether there is room, but takes the room only as it writes, so many
// ranks that start at once all see it and then die of SIGBUS.  So the room of all is looked for
// once, before the start.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace muster::exec {

// What PMIx takes in Open MPI's session, however many ranks there are.
inline constexpr std::uint64_t kMpiSessionBytes = 9 << 20;

struct SharedMemoryChoice {
  enum class Place { kShm, kRuntimeDirectory, kNone };

  Place place = Place::kShm;  // kNone: no room anywhere, messages go over TCP
  std::string warning;        // for a person; empty when all is well
};

// What a file system has left; nullopt when it cannot be asked.
std::optional<std::uint64_t> free_bytes(const std::filesystem::path& directory);

// What that many ranks take.
std::uint64_t shared_memory_needed(int mpi_ranks, int open_mpi_major = 4);

// `shm_free`: nullopt where no directory could be made in /dev/shm.  Pure.
SharedMemoryChoice choose_shared_memory(int mpi_ranks, std::optional<std::uint64_t> shm_free,
                                        std::optional<std::uint64_t> runtime_free,
                                        const std::filesystem::path& runtime_directory,
                                        int open_mpi_major = 4);

}  // namespace muster::exec
