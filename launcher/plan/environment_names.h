// Which variables of the caller go no further, and which may not be set by a config.
#pragma once

#include <string_view>

namespace muster::plan {

// Names that say who a process is in some run: stale ones make a rank think that it is another.
// The scheduler's own variables are not among them.
bool is_dropped_from_ranks(std::string_view name);

// Names by which a surrounding job or another mpirun would steer ours.
bool is_dropped_from_mpirun(std::string_view name);

// Identity that differs from rank to rank or is Muster's to give: a constant in a config is wrong.
bool is_identity(std::string_view name);

// Open MPI's and PMIx's own settings: a config may set them, and then mpirun gets them too.
bool is_mpi_setting(std::string_view name);

}  // namespace muster::plan
