// A rank, or a worker of one, that takes memory until the kernel ends it.
//
//   eats_memory [--rank R] [--cgroup DIR] [--worker] [--kill] [--bytes 192M]
//
// Only the rank of --rank does anything; the others sleep.  It moves itself into the memory cgroup
// of --cgroup and stays there for a moment before it eats.  With --worker a child eats, and the
// rank exits with 1 when the child is gone, naming it, as data loaders do.  With --kill it ends
// itself with SIGKILL after that: the child, not the rank, was killed for memory.

#include <sys/mman.h>
#include <sys/wait.h>

#include "program.h"

namespace {

void eat(std::uint64_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) program::die_errno("mmap");
  std::memset(memory, 1, bytes);
}

void move_to(const std::string& cgroup) {
  std::FILE* file = std::fopen((cgroup + "/cgroup.procs").c_str(), "we");
  if (file == nullptr || std::fputs("0", file) < 0 || std::fclose(file) != 0) {
    program::die_errno("moving to " + cgroup);
  }
  program::sleep_seconds(0.2);  // the agent looks after 20 and 120 ms
}

int feed_worker(std::uint64_t bytes) {
  const pid_t worker = fork();
  if (worker < 0) program::die_errno("fork");
  if (worker == 0) {
    eat(bytes);
    _exit(0);
  }
  int status = 0;
  waitpid(worker, &status, 0);
  std::fprintf(stderr, "RuntimeError: worker (pid %d) is killed by signal: %d\n",
               static_cast<int>(worker), WTERMSIG(status));
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::string cgroup;
  std::uint64_t bytes = 192 << 20;
  bool worker = false;
  bool kill_itself = false;
  bool chosen = true;
  program::Arguments arguments(argc, argv);
  while (arguments.next()) {
    if (arguments.name() == "--rank") {
      chosen = program::to_number(arguments.value()) == program::own_rank();
    } else if (arguments.name() == "--cgroup") {
      cgroup = arguments.value();
    } else if (arguments.name() == "--bytes") {
      bytes = program::to_bytes(arguments.value());
    } else if (arguments.name() == "--worker") {
      worker = true;
    } else if (arguments.name() == "--kill") {
      kill_itself = true;
    } else {
      arguments.unknown();
    }
  }
  if (!chosen) program::sleep_seconds(600);
  if (!cgroup.empty()) move_to(cgroup);
  if (!worker) eat(bytes);
  const int code = worker ? feed_worker(bytes) : 0;
  if (kill_itself) program::end_by_signal(SIGKILL);
  return code;
}
