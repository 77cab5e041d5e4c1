#include "launcher/exec/shared_memory.h"

#include <sys/statvfs.h>

#include <limits>

#include "base/text.h"

namespace muster::exec {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
// btl_vader_segment_size and btl_sm_segment_size.
constexpr std::uint64_t kSegment4 = 4 * kMiB;
constexpr std::uint64_t kSegment5 = 16 * kMiB;
constexpr std::uint64_t kBeside = 64 * 1024;  // headers and our FIFOs

}  // namespace

std::optional<std::uint64_t> free_bytes(const std::filesystem::path& directory) {
  struct statvfs info {};
  if (::statvfs(directory.c_str(), &info) != 0) return std::nullopt;
  // A tmpfs without a limit says 0 of 0.
  if (info.f_blocks == 0) return std::numeric_limits<std::uint64_t>::max();
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

std::uint64_t shared_memory_needed(int mpi_ranks, int open_mpi_major) {
  const std::uint64_t segment = open_mpi_major < 5 ? kSegment4 : kSegment5;
  return (segment + kBeside) * static_cast<std::uint64_t>(mpi_ranks);
}

SharedMemoryChoice choose_shared_memory(int mpi_ranks, std::optional<std::uint64_t> shm_free,
                                        std::optional<std::uint64_t> runtime_free,
                                        const std::filesystem::path& runtime_directory,
                                        int open_mpi_major) {
  using Place = SharedMemoryChoice::Place;
  const std::uint64_t needed = shared_memory_needed(mpi_ranks, open_mpi_major);
  if (shm_free && *shm_free >= needed) return {Place::kShm, ""};
  const bool room_in_runtime = !runtime_free || *runtime_free >= needed;
  if (!shm_free && room_in_runtime) return {Place::kRuntimeDirectory, ""};

  const std::string short_of =
      shm_free ? "/dev/shm has " + format_bytes(*shm_free) + " free" : "no usable /dev/shm is here";
  const std::string warning = short_of + ", and Open MPI shares " + format_bytes(needed) +
                              " between " + counted(mpi_ranks, "rank") + ": ";
  const std::string what_to_do =
      " (make /dev/shm larger: docker and podman run --shm-size, Kubernetes an emptyDir with "
      "medium: Memory)";
  if (room_in_runtime) {
    return {Place::kRuntimeDirectory, warning + "it lies in " + runtime_directory.string() +
                                          " instead, slower if that is a disk" + what_to_do};
  }
  return {Place::kNone, warning + runtime_directory.string() +
                            " has no room either, so messages go over TCP, which is slower" +
                            what_to_do};
}

}  // namespace muster::exec
