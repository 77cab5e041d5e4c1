#include "protocol/daemon_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::protocol {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// As Open MPI 4.1.4 gave it to its agent, words joined by blanks.
constexpr const char* kOpenMpi4 =
    "          orted -mca orte_leave_session_attached \"1\" -mca ess \"env\" "
    "-mca ess_base_jobid \"2506096640\" -mca ess_base_vpid 2 -mca ess_base_num_procs \"3\" "
    "-mca orte_node_regex \"phys[1:0],muster-[1:0-1]@0(3)\" -mca orte_hnp_uri "
    "\"2506096640.0;tcp://10.77.0.10,[fd77::10]:60763\" --mca btl \"tcp,vader,self\"";

// The same with a full path of mpirun.
constexpr const char* kWithPrefix =
    "PATH=/usr/bin:$PATH ; export PATH ; LD_LIBRARY_PATH=/usr/lib:${LD_LIBRARY_PATH:-} ; "
    "export LD_LIBRARY_PATH ;   /usr/bin/orted -mca ess \"env\"";

constexpr const char* kOpenMpi5 =
    "PRTE_PREFIX=/opt/mpi;export PRTE_PREFIX;PMIX_PREFIX=/opt/mpi;export PMIX_PREFIX;"
    "LD_LIBRARY_PATH=/opt/mpi/lib:$LD_LIBRARY_PATH;export LD_LIBRARY_PATH;/opt/mpi/bin/prted "
    "--leave-session-attached --allow-run-as-root --prtemca ess \"env\" --prtemca prte_hnp_uri "
    "\"prterun-phys0-23476@0.0;tcp://10.77.0.10:34389:24\" --prtemca PREFIXES \"errmgr,ess\"";

TEST(DaemonCommand, IsReadAsOpenMpi4WritesIt) {
  const auto command = parse_daemon_command(kOpenMpi4);
  ASSERT_TRUE(command) << command.error().message;
  EXPECT_EQ(command->program, "orted");
  EXPECT_TRUE(command->variables.empty());
  EXPECT_THAT(command->parameters, Contains(Pair("ess_base_vpid", "2")));
  EXPECT_THAT(command->parameters,
              Contains(Pair("orte_node_regex", "phys[1:0],muster-[1:0-1]@0(3)")));
  const auto prefixed = parse_daemon_command(kWithPrefix);
  ASSERT_TRUE(prefixed) << prefixed.error().message;
  EXPECT_EQ(prefixed->program, "/usr/bin/orted");
  EXPECT_THAT(prefixed->variables,
              ElementsAre(Pair("PATH", "/usr/bin:$PATH"),
                          Pair("LD_LIBRARY_PATH", "/usr/lib:${LD_LIBRARY_PATH:-}")));
}

TEST(DaemonCommand, IsReadAsOpenMpi5WritesIt) {
  const auto command = parse_daemon_command(kOpenMpi5);
  ASSERT_TRUE(command) << command.error().message;
  EXPECT_EQ(command->program, "/opt/mpi/bin/prted");
  EXPECT_THAT(command->flags, ElementsAre("leave-session-attached", "allow-run-as-root"));
  EXPECT_THAT(command->parameters, Contains(Pair("PREFIXES", "errmgr,ess")));
}

struct Refused {
  const char* line;
  const char* because;
};

class WhatIsNoDaemon : public ::testing::TestWithParam<Refused> {};

TEST_P(WhatIsNoDaemon, IsRefused) {
  const auto command = parse_daemon_command(GetParam().line);
  ASSERT_FALSE(command) << GetParam().line;
  EXPECT_THAT(command.error().message, HasSubstr(GetParam().because));
}

INSTANTIATE_TEST_SUITE_P(
    DaemonCommand, WhatIsNoDaemon,
    ::testing::Values(Refused{"", "a word is missing"},                               //
                      Refused{"sh -c 'rm -rf /'", "it runs sh"},                      //
                      Refused{"./orted -mca a b", "it runs ./orted"},                 //
                      Refused{"/tmp/notorted -mca a b", "it runs /tmp/notorted"},     //
                      Refused{"orted; rm x", "a word is missing"},                    //
                      Refused{"orted -mca a \"b\"; rm x", "something follows"},       //
                      Refused{"orted -mca a \"b\" & rm x", "'&'"},                    //
                      Refused{"orted -mca a \"$(rm x)\"", "'$'"},                     //
                      Refused{"orted -mca a \"`rm x`\"", "'`'"},                      //
                      Refused{"orted -mca a \"b", "a quote is not closed"},           //
                      Refused{"orted -mca a $(x)", "'$'"},                            //
                      Refused{"orted -mca a b\nrm x", "a byte that is no text"},      //
                      Refused{"orted x", "is no option"},                             //
                      Refused{"orted --daemonize", "--daemonize is not known"},       //
                      Refused{"orted --tree-spawn", "--tree-spawn is not known"},     //
                      Refused{"orted -mca a", "a word is missing"},                   //
                      Refused{"LD_PRELOAD=/x ; orted", "it sets LD_PRELOAD"},         //
                      Refused{"export LD_PRELOAD ; orted", "it exports LD_PRELOAD"},  //
                      Refused{"PATH=$HOME ; orted", "it looks into $HOME"},           //
                      Refused{"PATH=/a orted", "a ';' is missing"},                   //
                      Refused{"PATH=${PATH ; orted", "a brace is not closed"},
                      Refused{"( test ! -r ./.profile || . ./.profile; orted )", "'('"}));

TEST(MpiNames, AreThoseOfThisRunAlone) {
  EXPECT_EQ(*node_rank_of_mpi_name("muster-0"), 0);
  EXPECT_EQ(*node_rank_of_mpi_name("muster-12499"), 12499);
  for (const char* name : {"", "muster-", "muster-01", "muster--1", "root@muster-1", "node-1",
                           "muster-1.example.com", "muster-9999999999", "muster-1 "}) {
    EXPECT_FALSE(node_rank_of_mpi_name(name)) << name;
  }
}

}  // namespace
}  // namespace muster::protocol
