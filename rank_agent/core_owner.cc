#include "rank_agent/core_owner.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/procfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "base/fd.h"

namespace muster::agent {
namespace {

// The kernel writes the notes' header first, and the process's note after that of one thread.
constexpr int kMostHeaders = 8;
constexpr std::size_t kMostNotes = 16 * 1024;

constexpr std::size_t padded(std::size_t size) {
  return (size + 3) / 4 * 4;
}

template <typename T>
bool read_at(int fd, std::uint64_t offset, T& out) {
  const ssize_t got = ::pread(fd, &out, sizeof out, static_cast<off_t>(offset));
  return got == static_cast<ssize_t>(sizeof out);
}

bool is_readable_core(const Elf64_Ehdr& header) {
  constexpr int kOwnOrder = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
  return std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
         header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_ident[EI_DATA] == kOwnOrder &&
         header.e_type == ET_CORE && header.e_phentsize == sizeof(Elf64_Phdr);
}

std::optional<pid_t> owner_in(std::string_view notes) {
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr note;
    std::memcpy(&note, notes.data(), sizeof note);
    const std::size_t at = sizeof note + padded(note.n_namesz);
    if (at > notes.size()) return std::nullopt;
    const std::string_view content = notes.substr(at);
    // Of the whole process; NT_PRSTATUS has the number of a thread.
    if (note.n_type == NT_PRPSINFO && note.n_descsz == sizeof(prpsinfo_t) &&
        content.size() >= sizeof(prpsinfo_t)) {
      pid_t pid = 0;
      std::memcpy(&pid, content.data() + offsetof(prpsinfo_t, pr_pid), sizeof pid);
      return pid;
    }
    if (padded(note.n_descsz) > content.size()) return std::nullopt;
    notes = content.substr(padded(note.n_descsz));
  }
  return std::nullopt;
}

}  // namespace

std::optional<pid_t> core_owner(const std::filesystem::path& file) {
  const Result<Fd> fd = open_file(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  Elf64_Ehdr header;
  if (!fd || !read_at(fd->get(), 0, header) || !is_readable_core(header)) return std::nullopt;
  for (int number = 0; number < std::min<int>(header.e_phnum, kMostHeaders); ++number) {
    Elf64_Phdr segment;
    const std::uint64_t at = header.e_phoff + static_cast<std::uint64_t>(number) * sizeof segment;
    if (!read_at(fd->get(), at, segment)) return std::nullopt;
    if (segment.p_type != PT_NOTE) continue;
    char notes[kMostNotes];
    const ssize_t got = ::pread(fd->get(), notes, std::min(segment.p_filesz, sizeof notes),
                                static_cast<off_t>(segment.p_offset));
    return got > 0 ? owner_in({notes, static_cast<std::size_t>(got)}) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace muster::agent
