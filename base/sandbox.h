// What a container's seccomp profile may take away, found out by trying, and what is done without.
#pragma once

#include <string>
#include <vector>

#include "muster/result.h"

namespace muster {

// glibc does without clone3, faccessat2 and statx where the kernel does not know them (ENOSYS), but
// takes EPERM for an answer: under a profile that denies clone3 so, no program starts a thread.
// There this process and all that it starts get ENOSYS instead (and no_new_privs, unless
// CAP_SYS_ADMIN is held).  An error (kResources) means that threads cannot be started here.
Result<> answer_denied_calls();

// Whether processes may copy from each other's memory, as Open MPI does for large messages.
bool can_copy_between_processes();

// What was found missing and answered, one sentence each, for the launcher's log.
std::vector<std::string> sandbox_notes();

}  // namespace muster
