// link_peer head NODES ADDRESS TOKEN_FILE|- [ADDRESS_FILE]
// link_peer member RANK NODES HOST:PORT|file:PATH TOKEN_FILE|-
//
// A launcher that only meets the others of its run, for tests of the link.  Both print a line for
// everything that they are told.  The head says "listens ADDRESS" first; it reads lines: "part"
// (the run begins), "end CODE", "prove".  A member ends with the run's code, or 70 to 77.

#include <cstdio>
#include <cstdlib>
#include <poll.h>
#include <string>
#include <unistd.h>

#include "base/exit_code.h"
#include "launcher/link/head_link.h"
#include "launcher/link/member_link.h"
#include "launcher/link/socket_address.h"

namespace {

using namespace muster;
using namespace std::chrono_literals;

[[noreturn]] void give_up(const Error& error) {
  std::printf("failed: %s\n", error.message.c_str());
  std::exit(to_int(exit_code_for(error.code)));
}

std::shared_ptr<const replication::TokenKeys> keys(const std::string& source) {
  if (source == "-") return nullptr;
  auto read = replication::read_token(source);
  if (!read) give_up(read.error());
  return std::make_shared<const replication::TokenKeys>(std::move(*read));
}

protocol::Join join_of(int node_rank, int node_count) {
  protocol::Join join;
  join.set_node_rank(node_rank);
  join.set_node_count(node_count);
  join.set_launcher(replication::random_bytes(16));
  join.set_hostname("node-" + std::to_string(node_rank));
  join.set_software("link_peer");
  protocol::InterfaceAddress& address = *join.add_addresses();
  address.set_interface("lo");
  address.set_address(std::string("\x7f\0\0\1", 4));
  address.set_prefix(8);
  address.set_is_up(true);
  address.set_is_loopback(true);
  return join;
}

const char* name_of(cluster::HeadAction::What what) {
  using What = cluster::HeadAction::What;
  switch (what) {
    case What::kJoined: return "joined";
    case What::kAllHere: return "all here";
    case What::kMissing: return "missing";
    case What::kWaiting: return "waiting";
    case What::kMessage: return "message";
    case What::kSuspect: return "suspect";
    case What::kWakes: return "wakes";
    case What::kLost: return "lost";
    case What::kRefused: return "refused";
    default: return "?";
  }
}

void print_proofs(const std::vector<cluster::Proof>& proofs) {
  for (const cluster::Proof& proof : proofs) {
    std::printf("proof %d to %d at %s: %s\n", proof.from, proof.to,
                link::in_text(proof.address).c_str(),
                proof.reached ? "reached" : proof.problem.c_str());
  }
  std::puts("proved");
}

int head(int node_count, char** argv) {
  link::HeadLinkSettings settings;
  auto address = replication::parse_address(argv[0]);
  if (!address) give_up(address.error());
  settings.listen = *address;
  settings.keys = keys(argv[1]);
  settings.insecure = settings.keys == nullptr;
  settings.node_count = node_count;
  settings.own = join_of(0, node_count);
  settings.own.set_own_address(std::string("\x7f\0\0\1", 4));
  if (argv[2] != nullptr) settings.address_file = argv[2];
  settings.log = [](const std::string& line) { std::fprintf(stderr, "log: %s\n", line.c_str()); };
  auto link = link::HeadLink::open(std::move(settings));
  if (!link) give_up(link.error());
  std::printf("listens %s\n", (*link)->address().to_string().c_str());
  bool proving = false;
  while (true) {
    pollfd polled[2] = {{(*link)->fd(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    if (::poll(polled, 2, -1) < 0) continue;
    if (polled[0].revents != 0) {
      while (const auto action = (*link)->next()) {
        std::printf("%s %d %s\n", name_of(action->what), action->node_rank, action->text.c_str());
      }
      if (const auto proofs = (*link)->proofs(); proving && proofs) {
        proving = false;
        print_proofs(*proofs);
      }
    }
    if (polled[1].revents == 0) continue;
    std::string line;
    for (char byte = 0; ::read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n';) line += byte;
    if (line == "part") {
      protocol::HeadMessage message;
      message.mutable_part()->set_node_count(node_count);
      (*link)->send_to_all(std::move(message));
    } else if (line == "prove") {
      proving = true;
      (*link)->prove_ring(5s);
    } else {
      protocol::RunEnd end;
      end.set_exit_code(line.starts_with("end ") ? std::atoi(line.c_str() + 4) : 70);
      (*link)->end(end, 5s);
      return end.exit_code();
    }
  }
}

int member(int node_rank, int node_count, const std::string& where, const std::string& token) {
  link::MemberLinkSettings settings;
  settings.membership.node_rank.value = node_rank;
  settings.membership.node_count.value = node_count;
  if (where.starts_with("file:")) {
    settings.membership.address_file.emplace();
    settings.membership.address_file->value = where.substr(5);
  } else {
    settings.membership.head_address.value = where.substr(0, where.rfind(':'));
    settings.membership.port.value = std::atoi(where.c_str() + where.rfind(':') + 1);
  }
  settings.keys = keys(token);
  settings.insecure = settings.keys == nullptr;
  settings.join = join_of(node_rank, node_count);
  auto link = link::MemberLink::open(std::move(settings));
  if (!link) give_up(link.error());
  while (true) {
    pollfd polled{(*link)->fd(), POLLIN, 0};
    if (::poll(&polled, 1, -1) < 0) continue;
    while (const auto event = (*link)->next()) {
      if (event->what == link::MemberEvent::What::kWaiting) {
        std::printf("waiting: %s\n", event->text.c_str());
      } else if (event->error) {
        give_up(*event->error);
      } else if (event->message.has_end()) {
        return event->message.end().exit_code();
      } else if (event->message.has_part()) {
        std::puts("part");
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::string role = argc > 1 ? argv[1] : "";
  if (role == "head" && argc >= 5) return head(std::atoi(argv[2]), argv + 3);
  if (role == "member" && argc == 6) {
    return member(std::atoi(argv[2]), std::atoi(argv[3]), argv[4], argv[5]);
  }
  std::fputs(
      "link_peer head NODES ADDRESS TOKEN_FILE|- [ADDRESS_FILE]\n"
      "link_peer member RANK NODES HOST:PORT|file:PATH TOKEN_FILE|-\n",
      stderr);
  return 64;
}
