#include "launcher/cli/run_membership.h"

#include <array>
#include <chrono>
#include <climits>
#include <ifaddrs.h>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/files.h"
#include "base/text.h"

namespace muster::cli {
namespace {

constexpr std::size_t kMostOfNodeFile = 16U << 20;

std::vector<std::string> own_addresses() {
  std::vector<std::string> texts;
  ifaddrs* listed = nullptr;
  if (::getifaddrs(&listed) != 0) return texts;
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> all(listed, ::freeifaddrs);
  for (const ifaddrs* each = listed; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr) continue;
    const int family = each->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    std::array<char, NI_MAXHOST> text{};
    if (::getnameinfo(each->ifa_addr, size, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) ==
        0) {
      texts.emplace_back(text.data());
    }
  }
  return texts;
}

cluster::Surroundings surroundings(const std::map<std::string, std::string>& environment) {
  cluster::Surroundings around;
  around.environment = environment;
  std::string hostname(HOST_NAME_MAX + 1, '\0');
  if (::gethostname(hostname.data(), hostname.size()) != 0) hostname.clear();
  around.hostname = hostname.substr(0, hostname.find('\0'));
  around.addresses = own_addresses();
  around.now = std::chrono::duration_cast<std::chrono::seconds>(
                   std::chrono::system_clock::now().time_since_epoch())
                   .count();
  if (const auto file = environment.find("PBS_NODEFILE"); file != environment.end()) {
    // A file that cannot be read names nobody, and the message then asks for flags.
    if (auto text = read_regular_file(file->second, kMostOfNodeFile)) around.node_file = std::move(*text);
  }
  return around;
}

}  // namespace

Result<cluster::Membership> run_membership(const CommandLine& line, const config::RunConfig& config,
                                           const std::map<std::string, std::string>& environment) {
  const config::Setting<int>& asked = config.node_count;
  if (asked.value <= 1 || line.has("one-node")) {
    if (line.has("node-rank") && line.text("node-rank") != "0" && !line.has("one-node")) {
      return fail(ErrorCode::kUsage, line.as_given("node-rank") + ": a run has one node",
                  "leave it out, or write 0: the first node is number 0");
    }
    return cluster::Membership{};
  }
  cluster::MembershipFlags flags;
  flags.nodes = asked.value;
  flags.nodes_origin = asked.origin.text;
  if (const auto rank = line.text("node-rank")) {
    flags.node_rank = static_cast<int>(parse_integer(*rank).value_or(-1));
  }
  flags.rendezvous = line.text("rendezvous");
  auto membership = cluster::membership_of(flags, surroundings(environment));
  if (!membership && !membership.error().location) {
    membership.error().location = asked.origin.location;
  }
  return membership;
}

}  // namespace muster::cli
