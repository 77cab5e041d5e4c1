#include "rank_agent/outcome.h"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <unistd.h>

#include <chrono>
#include <memory>

#include "rank_agent/core_dump.h"
#include "rank_agent/environment.h"
#include "rank_agent/full_disks.h"

namespace muster::agent {
namespace {

using protocol::AgentMessage;
using protocol::TrainingEnded;

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

AgentMessage not_started_message(TrainingEnded::How how, int value, const std::string& failure) {
  AgentMessage message;
  TrainingEnded& ended = *message.mutable_ended();
  ended.set_how(how);
  ended.set_value(value);
  ended.set_failure(failure);
  ended.set_ended_at_ns(realtime_ns());
  return message;
}

// "/usr/lib/libmpi.so.40.30.4" → "libmpi.so.40.30.4"; "" for anything that is not an MPI library.
std::string mpi_library_name(const char* line) {
  const char* slash = std::strrchr(line, '/');
  if (slash == nullptr) return "";
  std::string name(slash + 1);
  name.erase(name.find_last_not_of('\n') + 1);
  const bool is_mpi = name.starts_with("libmpi.so.") || name.starts_with("libmpich.so.");
  return is_mpi ? name : "";
}

bool is_mpi_launcher(pid_t pid) {
  char name[32] = "";
  const std::string path = "/proc/" + std::to_string(pid) + "/comm";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> comm(std::fopen(path.c_str(), "re"),
                                                             &std::fclose);
  if (!comm || std::fgets(name, sizeof name, comm.get()) == nullptr) return false;
  name[std::strcspn(name, "\n")] = '\0';
  for (const char* launcher : {"mpirun", "orterun", "mpiexec", "prterun", "mpiexec.hydra"}) {
    if (std::strcmp(name, launcher) == 0) return true;
  }
  return false;
}

// A script that sh has run by mistake ends with one of these: its syntax is wrong, or its first
// words are no commands.
constexpr int kCodesOfShells[] = {2, 126, 127};

void add(const char* kind, const RunProblem& problem, protocol::RankEvidence& evidence) {
  protocol::Finding& added = *evidence.add_findings();
  added.set_kind(kind);
  added.set_text(problem.text);
  added.set_hint(problem.hint);
}

}  // namespace

std::int64_t realtime_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

AgentMessage ended_message(const Reaped& reaped) {
  AgentMessage message;
  TrainingEnded& ended = *message.mutable_ended();
  const bool exited = reaped.status.how == ExitStatus::How::kExited;
  ended.set_how(exited ? TrainingEnded::EXITED : TrainingEnded::SIGNALED);
  ended.set_value(reaped.status.value);
  ended.set_core_dumped(reaped.status.core_dumped);
  ended.set_ended_at_ns(realtime_ns());
  ended.set_user_seconds(seconds(reaped.usage.ru_utime));
  ended.set_system_seconds(seconds(reaped.usage.ru_stime));
  ended.set_max_rss_bytes(static_cast<std::uint64_t>(reaped.usage.ru_maxrss) * 1024);
  return message;
}

AgentMessage exec_failed_message(const StartFailure& failure, const ChildSpec& spec) {
  return not_started_message(TrainingEnded::EXEC_FAILED, failure.exit_code(),
                             failure.describe(spec));
}

AgentMessage refused_message(const std::string& contradiction, ExitCode code) {
  return not_started_message(TrainingEnded::REFUSED, to_int(code), contradiction);
}

void add_findings(const StartFailure& failure, const ChildSpec& spec,
                  protocol::RankEvidence& evidence) {
  if (const auto problem = failure.format_problem(spec)) {
    add("exec_format", *problem, evidence);
  }
}

void add_findings(const ExitStatus& status, const ChildSpec& spec, pid_t pid,
                  std::int64_t started_at_ns, protocol::RankEvidence& evidence) {
  if (status.core_dumped) {
    char hostname[256] = "";
    ::gethostname(hostname, sizeof hostname - 1);
    const CrashFacts facts{pid,        status.value, ::getuid(),
                           ::getgid(), hostname,     spec.working_directory};
    const std::chrono::system_clock::time_point started_at(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::nanoseconds(started_at_ns)));
    add("core_dump", {core_text(facts, started_at), ""}, evidence);
  }
  for (const int code : kCodesOfShells) {
    if (status != ExitStatus::exited(code)) continue;
    const auto file = program_file(spec);
    auto problem = file ? shell_problem(*file) : std::nullopt;
    // env(1) was found, and did not find what the line names: "python3\r".
    if (file && !problem && code == 127) problem = run_problem(*file);
    if (problem) add("exec_format", *problem, evidence);
  }
  const bool bus_error = status == ExitStatus::signaled(SIGBUS);
  const std::string temporary = value_of(spec.environment, "TMPDIR");
  for (protocol::Finding& found : find_full_disks(
           {spec.working_directory, temporary.empty() ? "/tmp" : temporary}, bus_error)) {
    *evidence.add_findings() = std::move(found);
  }
}

std::optional<std::string> find_mpi_library(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/maps";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> maps(std::fopen(path.c_str(), "re"),
                                                             &std::fclose);
  char line[4608];
  while (maps && std::fgets(line, sizeof line, maps.get()) != nullptr) {
    if (const std::string name = mpi_library_name(line); !name.empty()) return name;
  }
  for (const pid_t child : children_of(pid)) {
    if (is_mpi_launcher(child)) continue;  // a world of its own, and meant to be one
    if (auto name = find_mpi_library(child)) return name;
  }
  return std::nullopt;
}

}  // namespace muster::agent
