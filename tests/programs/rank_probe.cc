// Prints what a rank sees of itself as one JSON object: arguments, environment, affinity, memory
// policy, limits, working directory, descriptors, signals and parents.
//
//   --to FILE    writes there instead of to stdout; "%r" in it becomes the rank
//   --sleep S    seconds that it lives on after that [0]
#include "program.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <utility>
#include <vector>

extern char** environ;

namespace {

std::string quoted(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || c == '"' || c == '\\') {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(byte));
      json += escaped;
    } else {
      json += c;
    }
  }
  return json + '"';
}

std::string list_of(const std::vector<std::string>& parts, char open, char close) {
  std::string json(1, open);
  for (std::size_t i = 0; i < parts.size(); ++i) json += (i == 0 ? "" : ", ") + parts[i];
  return json + close;
}

std::string arguments(int argc, char** argv) {
  std::vector<std::string> parts;
  for (int i = 0; i < argc; ++i) parts.push_back(quoted(argv[i]));
  return list_of(parts, '[', ']');
}

std::string environment() {
  std::vector<std::string> parts;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    parts.push_back(quoted(text.substr(0, equals)) + ": " + quoted(text.substr(equals + 1)));
  }
  return list_of(parts, '{', '}');
}

std::string affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) program::die_errno("sched_getaffinity");
  std::vector<std::string> parts;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) parts.push_back(std::to_string(cpu));
  }
  return list_of(parts, '[', ']');
}

// {"mode": MPOL_…, "nodes": […]}, or null where the kernel or a seccomp filter refuses.
std::string memory_policy() {
  int mode = 0;
  unsigned long nodes[16] = {};
  constexpr unsigned long kBits = sizeof nodes * 8;
  if (syscall(SYS_get_mempolicy, &mode, nodes, kBits, nullptr, 0UL) != 0) return "null";
  std::vector<std::string> parts;
  for (unsigned long node = 0; node < kBits; ++node) {
    if ((nodes[node / 64] >> (node % 64)) & 1) parts.push_back(std::to_string(node));
  }
  return "{\"mode\": " + std::to_string(mode) + ", \"nodes\": " + list_of(parts, '[', ']') + "}";
}

std::string limits() {
  const std::pair<const char*, __rlimit_resource> known[] = {
      {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC}, {"core", RLIMIT_CORE},
      {"stack", RLIMIT_STACK},   {"as", RLIMIT_AS},       {"memlock", RLIMIT_MEMLOCK}};
  std::vector<std::string> parts;
  for (const auto& [name, resource] : known) {
    rlimit limit{};
    getrlimit(resource, &limit);
    const auto shown = [](rlim_t value) {
      return value == RLIM_INFINITY ? std::string("-1") : std::to_string(value);
    };
    parts.push_back(quoted(name) + ": [" + shown(limit.rlim_cur) + ", " + shown(limit.rlim_max) +
                    "]");
  }
  return list_of(parts, '{', '}');
}

// What each descriptor points at.  The one that reads the directory is not listed.
std::string descriptors() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) program::die_errno("/proc/self/fd");
  std::vector<std::string> parts;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name[0] == '.' || name == std::to_string(dirfd(directory))) continue;
    char target[4096];
    const ssize_t length = readlinkat(dirfd(directory), name.c_str(), target, sizeof target);
    if (length < 0) continue;
    parts.push_back(quoted(name) + ": " + quoted({target, static_cast<std::size_t>(length)}));
  }
  closedir(directory);
  return list_of(parts, '{', '}');
}

std::string blocked_signals() {
  sigset_t mask;
  sigprocmask(SIG_SETMASK, nullptr, &mask);
  std::vector<std::string> parts;
  for (int number = 1; number < 65; ++number) {
    if (sigismember(&mask, number) == 1) parts.push_back(std::to_string(number));
  }
  return list_of(parts, '[', ']');
}

std::string ignored_signals() {
  std::vector<std::string> parts;
  for (int number = 1; number < 65; ++number) {
    struct sigaction action {};
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN)
      parts.push_back(std::to_string(number));
  }
  return list_of(parts, '[', ']');
}

std::string working_directory() {
  char path[4096];
  if (getcwd(path, sizeof path) == nullptr) program::die_errno("getcwd");
  return quoted(path);
}

int parent_death_signal() {
  int number = 0;
  prctl(PR_GET_PDEATHSIG, &number);
  return number;
}

unsigned current_umask() {
  const mode_t mask = umask(0);
  umask(mask);
  return mask;
}

std::string probe(int argc, char** argv) {
  const std::vector<std::string> members = {
      "\"rank\": " + std::to_string(program::own_rank()),
      "\"argv\": " + arguments(argc, argv),
      "\"environment\": " + environment(),
      "\"affinity\": " + affinity(),
      "\"memory_policy\": " + memory_policy(),
      "\"limits\": " + limits(),
      "\"cwd\": " + working_directory(),
      "\"fds\": " + descriptors(),
      "\"blocked_signals\": " + blocked_signals(),
      "\"ignored_signals\": " + ignored_signals(),
      "\"umask\": " + std::to_string(current_umask()),
      "\"pid\": " + std::to_string(getpid()),
      "\"ppid\": " + std::to_string(getppid()),
      "\"pgid\": " + std::to_string(getpgrp()),
      "\"sid\": " + std::to_string(getsid(0)),
      "\"parent_death_signal\": " + std::to_string(parent_death_signal()),
      "\"uid\": " + std::to_string(getuid())};
  return list_of(members, '{', '}') + "\n";
}

}  // namespace

int main(int argc, char** argv) {
  const std::string json = probe(argc, argv);
  std::string target;
  double sleep = 0;
  program::Arguments options(argc, argv);
  while (options.next()) {
    if (options.name() == "--to") target = options.value();
    if (options.name() == "--sleep") sleep = program::to_seconds(options.value());
  }

  int fd = STDOUT_FILENO;
  if (const std::size_t at = target.find("%r"); at != std::string::npos)
    target.replace(at, 2, std::to_string(program::own_rank()));
  if (!target.empty()) fd = open(target.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) program::die_errno(target);
  program::write_all(fd, json);
  program::sleep_seconds(sleep);
  return 0;
}
