// Whether a mount answers, found out by a process of its own: one that does not answer blocks
// whoever asks, and that must not be the launcher.
#pragma once

#include <string>
#include <vector>

namespace muster::data {

// How the launcher's own program is told to be that process: `muster <word> PATH [RCLONE WORDS…]`.
inline constexpr const char* kFirstReadWord = "internal-first-read";

// Reads one entry of a directory, or one byte of a file.  0, or the number of the error, which is
// also written to stderr; what `muster internal-first-read` ends with.  With `remote`, of which
// remote_look.h tells, an empty directory is asked for there; kNothingThere: it does not exist.
int first_read(const std::string& path, const std::vector<std::string>& remote);

}  // namespace muster::data
