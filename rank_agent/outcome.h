// How a training process ended, and evidence about it, as messages for the launcher.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>

#include "base/exit_code.h"
#include "base/process.h"
#include "node.pb.h"

namespace muster::agent {

std::int64_t realtime_ns();

protocol::AgentMessage ended_message(const Reaped& reaped);
protocol::AgentMessage exec_failed_message(const StartFailure& failure, const ChildSpec& spec);
protocol::AgentMessage refused_message(const std::string& contradiction,
                                       ExitCode code = ExitCode::kInternal);

// Evidence beside the memory's: what a rank's end, its files and its file systems tell.
void add_findings(const ExitStatus& status, const ChildSpec& spec, pid_t pid,
                  std::int64_t started_at_ns, protocol::RankEvidence& evidence);
// Why a program that was found could not be executed.
void add_findings(const StartFailure& failure, const ChildSpec& spec,
                  protocol::RankEvidence& evidence);

// The file name of an MPI library that `pid` or a process below it has mapped ("libmpi.so.40").
std::optional<std::string> find_mpi_library(pid_t pid);

}  // namespace muster::agent
