// Prints "rank R stdout line I" and the same for stderr, N times each, then a last line without its
// newline on both, and is killed by SIGKILL:  prints_then_killed [N, 1000] [--rank R]
//
// With --rank only that rank is killed; the others print the same and sleep.
#include "program.h"

int main(int argc, char** argv) {
  std::int64_t lines = 1000;
  const std::int64_t rank = program::own_rank();
  std::int64_t only_rank = rank;
  program::Arguments arguments(argc, argv);
  while (arguments.next()) {
    if (arguments.name() == "--rank") {
      only_rank = program::to_number(arguments.value());
    } else {
      lines = program::to_number(arguments.name());
    }
  }

  const std::string start = "rank " + std::to_string(rank) + " ";
  for (std::int64_t line = 0; line < lines; ++line) {
    const std::string end = " line " + std::to_string(line) + "\n";
    program::write_all(STDOUT_FILENO, start + "stdout" + end);
    program::write_all(STDERR_FILENO, start + "stderr" + end);
  }
  program::write_all(STDOUT_FILENO, start + "last words");
  program::write_all(STDERR_FILENO, start + "last words");
  if (rank == only_rank) program::end_by_signal(SIGKILL);
  program::sleep_seconds(600);
  return 0;
}
