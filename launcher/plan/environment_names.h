// Which variables of the caller go no further, and which may not be set by a config.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace muster::plan {

// Names that say who a process is in some run: stale ones make a rank think that it is another.
// The scheduler's own variables are not among them.
bool is_dropped_from_ranks(std::string_view name);

// Names by which a surrounding job or another mpirun would steer ours.
bool is_dropped_from_mpirun(std::string_view name);

// Where a moved Open MPI lies (OPAL_PREFIX and its like).  A rank of an mpirun that was moved has
// it too, and there it is of no use to the mpirun of another installation, which would not start.
bool is_installation(std::string_view name);

// Whether mpirun gets this variable of the caller's.
bool reaches_mpirun(const std::map<std::string, std::string>& caller, std::string_view name,
                    const std::string& mpirun);

// Identity that differs from rank to rank or is Muster's to give: a constant in a config is wrong.
bool is_identity(std::string_view name);

// Open MPI's, PMIx's and PRRTE's own settings: a config may set them, and then mpirun gets them
// too.
bool is_mpi_setting(std::string_view name);

// Of an MPI's settings: how it starts its daemons, and on which nodes; Muster's alone on several.
bool is_daemon_setting(std::string_view name);

}  // namespace muster::plan
