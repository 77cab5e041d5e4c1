// Meets the other ranks of its run as torch does: rank 0 listens on MASTER_PORT and tells who it
// is, the others connect.  Ends with 1 when the port is taken or another run answers.
//
//   --import S   seconds that rank 0 takes before it binds [0], as for `import torch`
//   --hold S     seconds that it keeps the port [0]
//
// The port is bound without SO_REUSEADDR: what suits the strictest server suits all.
#include "program.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace {

constexpr int kAttempts = 3000;
constexpr double kBetweenAttempts = 0.01;

std::string text_of_variable(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) program::die(std::string(name) + " is not set");
  return text;
}

[[noreturn]] void fail(const std::string& message) {
  program::write_all(STDERR_FILENO, message + "\n");
  std::exit(1);
}

sockaddr_in address_of_master() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port =
      htons(static_cast<std::uint16_t>(program::to_number(text_of_variable("MASTER_PORT"))));
  if (inet_pton(AF_INET, text_of_variable("MASTER_ADDR").c_str(), &address.sin_addr) != 1)
    program::die("MASTER_ADDR is not an IPv4 address");
  return address;
}

int new_socket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) program::die_errno("socket");
  return fd;
}

void serve(std::int64_t others, const std::string& run_id) {
  const sockaddr_in address = address_of_master();
  const int listener = new_socket();
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 128) != 0) {
    fail("MASTER_PORT " + text_of_variable("MASTER_PORT") + ": " + std::strerror(errno));
  }
  for (; others > 0; --others) {
    const int peer = accept(listener, nullptr, nullptr);
    if (peer < 0) program::die_errno("accept");
    program::write_all(peer, run_id);
    close(peer);
  }
}

void ask(const std::string& run_id) {
  const sockaddr_in address = address_of_master();
  int fd = new_socket();
  for (int attempt = 0;
       connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0; ++attempt) {
    if (attempt == kAttempts) fail("nobody listens on MASTER_PORT");
    close(fd);
    program::sleep_seconds(kBetweenAttempts);
    fd = new_socket();
  }
  std::string answer(256, '\0');
  const ssize_t got = recv(fd, answer.data(), answer.size(), MSG_WAITALL);
  answer.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  if (answer != run_id) fail("'" + answer + "' answers on the MASTER_PORT of " + run_id);
}

}  // namespace

int main(int argc, char** argv) {
  double import = 0;
  double hold = 0;
  program::Arguments arguments(argc, argv);
  while (arguments.next()) {
    if (arguments.name() == "--import") {
      import = program::to_seconds(arguments.value());
    } else if (arguments.name() == "--hold") {
      hold = program::to_seconds(arguments.value());
    } else {
      arguments.unknown();
    }
  }
  const std::string run_id = text_of_variable("MUSTER_RUN_ID");
  if (program::own_rank() != 0) {
    ask(run_id);
    return 0;
  }
  program::sleep_seconds(import);
  serve(program::number_of_variable("WORLD_SIZE", 1) - 1, run_id);
  program::sleep_seconds(hold);
  program::write_all(STDOUT_FILENO, text_of_variable("MASTER_PORT") + "\n");
  return 0;
}
