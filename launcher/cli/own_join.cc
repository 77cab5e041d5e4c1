#include "launcher/cli/own_join.h"

#include <arpa/inet.h>
#include <climits>
#include <cstring>
#include <filesystem>
#include <ifaddrs.h>
#include <memory>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include "collector/replication/hmac.h"
#include "collector/replication/run_token.h"
#include "collector/store/digest.h"
#include "collector/store/durable_state.h"
#include "launcher/cluster/facts.h"
#include "launcher/topology/inventory_json.h"
#include "muster/version.h"

namespace muster::cli {
namespace {

constexpr std::size_t kShownDigits = 12;  // of a hash in a table

std::string own_hostname() {
  std::string hostname(HOST_NAME_MAX + 1, '\0');
  if (::gethostname(hostname.data(), hostname.size()) != 0) return "localhost";
  hostname.resize(std::min(hostname.find('\0'), hostname.size()));
  return hostname.empty() ? "localhost" : hostname;
}

std::string bytes_of(const sockaddr* address) {
  if (address == nullptr) return "";
  if (address->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof in);
    return {reinterpret_cast<const char*>(&in.sin_addr), sizeof in.sin_addr};
  }
  if (address->sa_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, address, sizeof in);
    return {reinterpret_cast<const char*>(&in.sin6_addr), sizeof in.sin6_addr};
  }
  return "";
}

unsigned prefix_of(const std::string& mask) {
  unsigned bits = 0;
  for (const char byte : mask)
    bits += static_cast<unsigned>(__builtin_popcount(static_cast<unsigned char>(byte)));
  return bits;
}

void add_addresses(protocol::Join& join) {
  ifaddrs* listed = nullptr;
  if (::getifaddrs(&listed) != 0) return;
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> all(listed, ::freeifaddrs);
  for (const ifaddrs* each = listed; each != nullptr; each = each->ifa_next) {
    const std::string address = bytes_of(each->ifa_addr);
    if (address.empty()) continue;
    protocol::InterfaceAddress& added = *join.add_addresses();
    added.set_interface(each->ifa_name);
    added.set_address(address);
    added.set_prefix(prefix_of(bytes_of(each->ifa_netmask)));
    added.set_is_up((each->ifa_flags & IFF_UP) != 0 && (each->ifa_flags & IFF_RUNNING) != 0);
    added.set_is_loopback((each->ifa_flags & IFF_LOOPBACK) != 0);
    const auto first = static_cast<unsigned char>(address[0]);
    const auto second = static_cast<unsigned char>(address[1]);
    added.set_is_link_local(address.size() == 4 ? first == 169 && second == 254
                                                : first == 0xfe && (second & 0xc0) == 0x80);
    added.set_index(::if_nametoindex(each->ifa_name));
  }
}

void add_fact(protocol::Join& join, const char* name, const std::string& value) {
  if (value.empty()) return;
  protocol::Fact& fact = *join.add_facts();
  fact.set_name(name);
  fact.set_value(value);
}

// "python3.11": what the links of the executable end at.  Where it is may differ from node to node.
std::string interpreter(const std::string& executable) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(executable, error);
  return real.filename().string();
}

}  // namespace

protocol::Join own_join(const LoadedRun& run, const cluster::Membership& membership) {
  protocol::Join join;
  join.set_node_rank(membership.node_rank.value);
  join.set_node_count(membership.node_count.value);
  join.set_job_id(membership.job_id.value);
  join.set_launcher(replication::random_bytes(16));
  join.set_hostname(own_hostname());
  join.set_boot_id(store::this_boot());
  join.set_software(std::string("muster ") + kVersion);
  const topology::NodeInventory& inventory = run.inputs.nodes.front();
  join.set_inventory(topology::inventory_line(inventory));
  add_addresses(join);
  add_fact(join, cluster::kConfigFact, store::digest_of(run.config_text).substr(0, kShownDigits));
  if (run.inputs.mpirun) add_fact(join, cluster::kMpiFact, run.inputs.mpirun->version);
  if (run.inputs.python) {
    add_fact(join, cluster::kInterpreterFact, interpreter(run.inputs.python->executable));
  }
  add_fact(join, cluster::kCpuFact, std::to_string(inventory.cores.size()) + " cores");
  add_fact(join, cluster::kGpuFact, std::to_string(inventory.gpus.size()));
  join.set_has_source(!run.lacks_source);
  return join;
}

Result<std::shared_ptr<const replication::TokenKeys>> cluster_keys(const CommandLine& line) {
  if (const auto file = line.text("token-file")) {
    MUSTER_TRY_ASSIGN(replication::TokenKeys keys, replication::read_token(*file));
    return std::make_shared<const replication::TokenKeys>(std::move(keys));
  }
  if (line.has("insecure")) return std::shared_ptr<const replication::TokenKeys>();
  return fail(ErrorCode::kUsage,
              "a run of several nodes needs a token: whoever has it is of the run",
              "make one with `muster token --output FILE`, and give --token-file FILE (or "
              "MUSTER_TOKEN_FILE) on every node; --insecure where the network is trusted");
}

protocol::Part part_message(const plan::NodePart& part) {
  protocol::Part message;
  message.set_node_rank(part.node_rank);
  message.set_node_count(part.node_count);
  message.set_world_size(part.world_size);
  message.set_first_rank(part.first_rank);
  message.set_rank_count(part.rank_count);
  message.set_process_count_per_node(part.process_count_per_node);
  message.set_master_address(part.master_address);
  message.set_own_address(part.own_address);
  message.set_interface(part.interface);
  message.set_socket_family(part.socket_family);
  for (const std::string& address : part.node_addresses) message.add_node_addresses(address);
  for (const int cores : part.node_cores) message.add_node_cores(cores);
  for (const int ranks : part.node_rank_counts) message.add_node_rank_counts(ranks);
  return message;
}

plan::NodePart part_from(const protocol::Part& message) {
  plan::NodePart part;
  part.node_rank = message.node_rank();
  part.node_count = message.node_count();
  part.world_size = message.world_size();
  part.first_rank = message.first_rank();
  part.rank_count = message.rank_count();
  part.process_count_per_node = message.process_count_per_node();
  part.master_address = message.master_address();
  part.own_address = message.own_address();
  part.interface = message.interface();
  part.socket_family = message.socket_family();
  part.node_addresses = {message.node_addresses().begin(), message.node_addresses().end()};
  part.node_cores = {message.node_cores().begin(), message.node_cores().end()};
  part.node_rank_counts = {message.node_rank_counts().begin(), message.node_rank_counts().end()};
  return part;
}

}  // namespace muster::cli
