// Whose a core file is: its own notes name the process.
#pragma once

#include <filesystem>
#include <optional>
#include <sys/types.h>

namespace muster::agent {

// The process that dumped it, as its own PID namespace numbers it; nullopt when the file cannot be
// read or is no 64-bit ELF core of this byte order.
std::optional<pid_t> core_owner(const std::filesystem::path& file);

}  // namespace muster::agent
