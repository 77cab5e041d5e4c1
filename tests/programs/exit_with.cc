// Ends as it is told:  exit_with CODE | exit_with --signal N
//
//   --rank R          only this rank does so; the others exit 0 after --others-sleep
//   --others-sleep S  seconds [600], so that a test sees them ended by Muster
//   --after S         seconds before it ends [0]
//   --message TEXT    a line on stderr before that
#include "program.h"

int main(int argc, char** argv) {
  int code = 0;
  int signal_number = 0;
  std::int64_t only_rank = program::own_rank();
  double others_sleep = 600;
  double after = 0;
  std::string message;

  program::Arguments arguments(argc, argv);
  while (arguments.next()) {
    const std::string_view name = arguments.name();
    if (name == "--signal") {
      signal_number = static_cast<int>(program::to_number(arguments.value()));
    } else if (name == "--rank") {
      only_rank = program::to_number(arguments.value());
    } else if (name == "--others-sleep") {
      others_sleep = program::to_seconds(arguments.value());
    } else if (name == "--after") {
      after = program::to_seconds(arguments.value());
    } else if (name == "--message") {
      message = arguments.value();
    } else if (name.starts_with('-')) {
      arguments.unknown();
    } else {
      code = static_cast<int>(program::to_number(name));
    }
  }

  if (program::own_rank() != only_rank) {
    program::sleep_seconds(others_sleep);
    return 0;
  }
  program::sleep_seconds(after);
  if (!message.empty()) program::write_all(STDERR_FILENO, message + "\n");
  if (signal_number != 0) program::end_by_signal(signal_number);
  return code;
}
