// Ignores SIGTERM, SIGINT and SIGHUP, prints "ready", and sleeps:  ignores_term [SECONDS, 600]
#include "program.h"

int main(int argc, char** argv) {
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) signal(number, SIG_IGN);
  program::write_all(STDOUT_FILENO, "ready\n");
  program::sleep_seconds(argc > 1 ? program::to_seconds(argv[1]) : 600);
  return 0;
}
