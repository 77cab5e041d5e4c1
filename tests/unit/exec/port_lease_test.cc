#include "launcher/exec/port_lease.h"

#include <cerrno>
#include <csignal>
#include <netinet/in.h>
#include <set>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/scratch.h"
#include "tests/support/seccomp.h"

namespace muster::exec {
namespace {

// A socket that listens on the port; no descriptor when that is not possible.
Fd listen_on(int port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (::bind(socket.get(), generic, sizeof address) != 0 || ::listen(socket.get(), 1) != 0) {
    return Fd();
  }
  return socket;
}

PortRules rules_of(PortRange ephemeral, std::vector<PortRange> reserved = {}) {
  PortRules rules;
  rules.ephemeral = ephemeral;
  rules.reserved = std::move(reserved);
  return rules;
}

class PortRulesTest : public test::ScratchTest {
 protected:
  void file(const std::string& name, const std::string& text) const {
    write("proc/sys/net/ipv4/" + name, text);
  }
};

TEST_F(PortRulesTest, AreReadFromTheKernelsFiles) {
  file("ip_local_port_range", "20000\t50000\n");
  file("ip_local_reserved_ports", "8080,9148-9200\n");
  file("ip_unprivileged_port_start", "2000\n");
  const PortRules rules = read_port_rules(scratch());
  EXPECT_EQ(rules.ephemeral, (PortRange{20000, 50000}));
  EXPECT_EQ(rules.reserved, (std::vector<PortRange>{{8080, 8080}, {9148, 9200}}));
  EXPECT_EQ(rules.first_unprivileged, 2000);
}

TEST_F(PortRulesTest, AreTheDefaultsWhereNothingCanBeRead) {
  const PortRules rules = read_port_rules(scratch());
  EXPECT_EQ(rules.ephemeral, (PortRange{32768, 60999}));
  EXPECT_TRUE(rules.reserved.empty());
  EXPECT_EQ(rules.first_unprivileged, 1024);
}

TEST_F(PortRulesTest, LeaveOutWhatMakesNoSense) {
  file("ip_local_port_range", "50000 20000\n");
  file("ip_local_reserved_ports", "\n,x,70000,9-,-9,20-10,30\n");
  file("ip_unprivileged_port_start", "\n");
  const PortRules rules = read_port_rules(scratch());
  EXPECT_EQ(rules.ephemeral, (PortRange{32768, 60999}));
  EXPECT_EQ(rules.reserved, (std::vector<PortRange>{{30, 30}}));
  EXPECT_EQ(rules.first_unprivileged, 1024);
}

TEST(PortGroups, BeginWithPortsThatNobodyIsGiven) {
  const PortRules rules = rules_of({32768, 60999});
  EXPECT_EQ(ports_of_group(rules, 0).front(), 61000);
  EXPECT_EQ(ports_of_group(rules, 0).back(), 65535);
  EXPECT_EQ(ports_of_group(rules, 1).front(), 10000);
  EXPECT_EQ(ports_of_group(rules, 1).back(), 29999);
  EXPECT_EQ(ports_of_group(rules, 2).front(), 32768);
  EXPECT_EQ(ports_of_group(rules, 2).back(), 60999);
}

TEST(PortGroups, LeaveOutReservedAndPrivilegedPorts) {
  PortRules rules = rules_of({1024, 65535}, {{2000, 65000}, {65535, 65535}});
  rules.first_unprivileged = 1500;
  EXPECT_TRUE(ports_of_group(rules, 0).empty());
  EXPECT_TRUE(ports_of_group(rules, 1).empty());
  EXPECT_EQ(ports_of_group(rules, 2).size(), 500U + 534U);
  EXPECT_EQ(ports_of_group(rules, 2).front(), 1500);
  rules.first_unprivileged = 0;  // the user may bind port 80, and still it is no place for a store
  EXPECT_EQ(ports_of_group(rules, 2).front(), 1024);
}

TEST(PortLease, TwoAreNeverTheSame) {
  std::vector<PortLease> leases;
  std::set<int> ports;
  for (int i = 0; i < 50; ++i) {
    auto lease = PortLease::take_any(read_port_rules());
    ASSERT_TRUE(lease) << lease.error().message;
    ports.insert(lease->port());
    leases.push_back(std::move(*lease));
  }
  EXPECT_EQ(ports.size(), 50U);
}

TEST(PortLease, LeavesThePortToAnyProgramOfTheRun) {
  const auto lease = PortLease::take_any(read_port_rules());
  ASSERT_TRUE(lease);
  EXPECT_TRUE(listen_on(lease->port()));
  EXPECT_TRUE(listen_on(lease->port())) << "again, after the first has gone";
}

TEST(PortLease, PassesOverAPortThatAProgramUses) {
  auto lease = PortLease::take_any(read_port_rules());
  ASSERT_TRUE(lease);
  const int port = lease->port();
  const Fd listener = listen_on(port);
  ASSERT_TRUE(listener);
  *lease = PortLease();
  const auto refused = PortLease::take(port);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kResources);
  EXPECT_EQ(refused.error().message,
            "cannot use port " + std::to_string(port) + " on this node: a program uses it");
}

TEST(PortLease, IsTheHoldersUntilItIsGivenUp) {
  auto lease = PortLease::take_any(read_port_rules());
  ASSERT_TRUE(lease);
  const auto refused = PortLease::take(lease->port());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("another run of muster has it"), std::string::npos);
  const int port = lease->port();
  *lease = PortLease();
  EXPECT_TRUE(PortLease::take(port));
}

TEST(PortLease, IsFreeWhenItsHolderWasKilled) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    const auto lease = PortLease::take_any(read_port_rules());
    const int port = lease ? lease->port() : 0;
    static_cast<void>(!::write(ends[1], &port, sizeof port));
    ::pause();
  }
  int port = 0;
  ASSERT_EQ(::read(ends[0], &port, sizeof port), static_cast<ssize_t>(sizeof port));
  EXPECT_FALSE(PortLease::take(port));
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  EXPECT_TRUE(PortLease::take(port));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(PortLease, IsGivenWhereNoTcpIsPermitted) {
  for (const long call : {SYS_socket, SYS_bind}) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (!test::forbid({call}, EPERM)) ::_exit(77);
      ::_exit(PortLease::take_any(read_port_rules()) ? 0 : 1);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no seccomp filter may be installed here";
    EXPECT_EQ(status, 0);
  }
}

TEST(PortLease, SaysWhenThereIsNone) {
  const auto none = PortLease::take_any(rules_of({1024, 65535}, {{1024, 65535}}));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kResources);
  EXPECT_NE(none.error().message.find("MASTER_PORT"), std::string::npos);
}

}  // namespace
}  // namespace muster::exec
