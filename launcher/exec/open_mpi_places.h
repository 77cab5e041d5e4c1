// Where Open MPI keeps what it leaves behind when it is killed: its session, and the memory that
// ranks share.
#pragma once

#include <map>
#include <string>

#include "launcher/exec/runtime_directory.h"

namespace muster::exec {

// Puts both into the run's own directories, which are removed with the run, for Open MPI 4 and 5
// alike: mpirun needs it, and so does an MPI program that was started without mpirun.
void add_open_mpi_places(const RuntimeDirectories& runtime,
                         std::map<std::string, std::string>& environment);

// What the ranks of an mpirun are told where memory is short or a sandbox denies a call: Open MPI
// would find out by dying.
void add_open_mpi_fallbacks(const RuntimeDirectories& runtime,
                            std::map<std::string, std::string>& environment);

}  // namespace muster::exec
