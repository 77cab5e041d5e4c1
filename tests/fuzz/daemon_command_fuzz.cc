// parse_daemon_command(): a line that a head's mpirun wants run on another node.

#include "protocol/daemon_command.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const std::string line(fuzz::text_of(data, size));
  const auto command = protocol::parse_daemon_command(line);
  if (!command) {
    for (const char c : command.error().message) {
      const auto byte = static_cast<unsigned char>(c);
      fuzz::require(byte >= 0x20 && byte != 0x7f, "a message has no control characters");
    }
    return 0;
  }
  const std::string& program = command->program;
  fuzz::require(program.ends_with("orted") || program.ends_with("prted"), "it is a daemon");
  fuzz::require(
      line.find('`') == line.npos && line.find("$(") == line.npos && line.find('\n') == line.npos,
      "nothing else is run");
  return 0;
}
