// The words of torchrun and mpirun, as people type them.
#include "launcher/cli/habits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/options.h"
#include "launcher/cli/process_counts.h"

namespace muster::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Words = std::vector<std::string>;

// Of a machine with python3 on PATH and ./tool executable.
bool is_program(const std::string& word) {
  return word == "python3" || word == "./tool";
}

// A command line of one blank between words.
CommandLine parsed(const std::string& text, const CallerEnvironment& environment = {}) {
  auto line = parse_command_line("run", split(text, ' '), environment, is_program);
  EXPECT_TRUE(line) << text << ": " << line.error().message;
  return line ? *line : CommandLine{};
}

Error refused(const std::string& text) {
  const auto line = parse_command_line("run", split(text, ' '), {}, is_program);
  EXPECT_FALSE(line) << text;
  return line ? Error{} : line.error();
}

Words echoes_of(const CommandLine& line) {
  Words texts;
  for (const Echo& echo : line.echoes) texts.push_back(echo.given + " is " + echo.meaning);
  return texts;
}

// "key=value" of the last override.
std::string last_set(const CommandLine& line) {
  if (line.overrides.empty()) return "";
  return line.overrides.back().key_path + "=" + line.overrides.back().value;
}

TEST(Torchrun, CountsProcessesInItsOwnWords) {
  for (const char* text : {"--nproc-per-node 4 -- x", "--nproc_per_node=4 -- x", "-np 4 -- x",
                           "--np 4 -- x", "-n4 -- x", "-np4 -- x", "--n 4 -- x", "-npernode 4 -- x",
                           "--process_count_per_node 4 -- x"}) {
    EXPECT_EQ(last_set(parsed(text)), "process_count_per_node=4") << text;
  }
  const CommandLine line = parsed("--nproc_per_node 4 -- x");
  EXPECT_THAT(echoes_of(line), ElementsAre("--nproc-per-node 4 is -n 4"));
  EXPECT_EQ(line.overrides.back().origin.text, "--nproc-per-node (-n)");
  EXPECT_THAT(echoes_of(parsed("-np 2 -- x")), ElementsAre("-np 2 is -n 2"));
  EXPECT_THAT(echoes_of(parsed("-n 2 -- x")), IsEmpty());
}

TEST(Habits, AreRecognizedWhenMisspelt) {
  EXPECT_THAT(refused("--nproc-per-nod 2 -- x").hint, HasSubstr("\"--nproc-per-node\""));
  EXPECT_THAT(refused("--nproc_per_nod=2 -- x").hint, HasSubstr("\"--nproc-per-node\""));
}

TEST(Torchrun, StartsAScriptWithoutDashes) {
  const CommandLine line = parsed("--nproc-per-node 2 train.py --lr 0.1 --nproc-per-node 9 -n 3");
  EXPECT_EQ(line.program_kind, ProgramKind::kScript);
  EXPECT_THAT(*line.after_dashes,
              ElementsAre("train.py", "--lr", "0.1", "--nproc-per-node", "9", "-n", "3"));
  EXPECT_EQ(last_set(line), "process_count_per_node=2");
  EXPECT_THAT(line.words, IsEmpty());
  EXPECT_THAT(echoes_of(line),
              ElementsAre("--nproc-per-node 2 is -n 2", "train.py is -- python3 train.py"));
  EXPECT_THAT(*parsed("train.py -- --lr 1").after_dashes, ElementsAre("train.py", "--lr", "1"));
}

TEST(Torchrun, StartsAModuleAndAProgramThatIsNotPython) {
  CommandLine line = parsed("-m pkg.train --lr 0.1");
  EXPECT_EQ(line.program_kind, ProgramKind::kModule);
  EXPECT_THAT(*line.after_dashes, ElementsAre("pkg.train", "--lr", "0.1"));
  EXPECT_THAT(echoes_of(line), ElementsAre("-m pkg.train is -- python3 -m pkg.train"));
  line = parsed("--module --nproc_per_node 2 pkg.train -n 3");
  EXPECT_THAT(*line.after_dashes, ElementsAre("pkg.train", "-n", "3"));
  line = parsed("--no_python ./train.py --lr 1");
  EXPECT_EQ(line.program_kind, ProgramKind::kProgram);
  EXPECT_THAT(*line.after_dashes, ElementsAre("./train.py", "--lr", "1"));
}

TEST(Torchrun, TellsWhatARunOnOneNodeDoesAnyway) {
  const CommandLine line = parsed("--standalone --nnodes=1:1 --node_rank 0 --master_port 0 -- x");
  EXPECT_EQ(last_set(line), "node_count=1");
  EXPECT_THAT(echoes_of(line), ElementsAre("--nnodes 1:1 is --nodes 1",
                                           "--standalone is what a run on one node is anyway",
                                           "--master-port 0 is a free port, as without it"));
}

TEST(Torchrun, SetsTheAddressOfTheMaster) {
  EXPECT_EQ(last_set(parsed("--master_addr node-a -- x")),
            "environment.variables.MASTER_ADDR=node-a");
  EXPECT_EQ(last_set(parsed("--master-port=29500 -- x")),
            "environment.variables.MASTER_PORT=29500");
  EXPECT_THAT(refused("--master-port 70000 -- x").message, HasSubstr("it is no port"));
}

TEST(Torchrun, OfMoreNodesReachesTheConfigAndAnOddRankIsRefused) {
  EXPECT_EQ(last_set(parsed("--nnodes 2:4 -- x")), "node_count=4");
  EXPECT_THAT(refused("--node-rank one -- x").message, HasSubstr("no node rank"));
  EXPECT_EQ(last_set(parsed("--max_restarts=3 -- x")), "restarts.max_restarts=3");
}

TEST(Mpirun, SetsVariables) {
  const CallerEnvironment here{{"LR", "0.5"}};
  EXPECT_EQ(last_set(parsed("-x LR=0.1 -- x", here)), "environment.variables.LR=0.1");
  EXPECT_EQ(last_set(parsed("-x LR -- x", here)), "environment.variables.LR=0.5");
  EXPECT_EQ(last_set(parsed("-x LR= -- x", here)), "environment.variables.LR=");
  const CommandLine line = parsed("-x MISSING -- x", here);
  EXPECT_THAT(line.overrides, IsEmpty());
  EXPECT_THAT(line.warnings, ElementsAre(HasSubstr("-x MISSING: there is no such variable here")));
  EXPECT_EQ(parsed("-x A=1 -x B=2 -- x").overrides.size(), 2U);
  EXPECT_EQ(last_set(parsed("-- x", {{"MUSTER_ENV", "A=1\nB=2"}})), "environment.variables.B=2");
}

TEST(Mpirun, StartsAProgramWithoutDashes) {
  EXPECT_THAT(*parsed("-np 4 python3 train.py -n 1").after_dashes,
              ElementsAre("python3", "train.py", "-n", "1"));
  EXPECT_THAT(*parsed("-oversubscribe -np 4 ./tool").after_dashes, ElementsAre("./tool"));
  EXPECT_EQ(last_set(parsed("-oversubscribe -- x")), "resources.oversubscribe=allow");
}

TEST(Mpirun, OfSeveralProgramsIsRefused) {
  EXPECT_EQ(refused("-np 1 python3 head.py : -np 3 python3 worker.py").message,
            "\": -np\" begins a second program, and a run has one");
  EXPECT_THAT(*parsed("-np 1 -- python3 : -np 3").after_dashes,
              ElementsAre("python3", ":", "-np", "3"));
  EXPECT_THAT(*parsed("python3 a : b").after_dashes, ElementsAre("python3", "a", ":", "b"));
  EXPECT_THAT(*parsed("python3 a :").after_dashes, ElementsAre("python3", "a", ":"));
}

TEST(Habits, LeaveAConfigAndWhatFollowsItAlone) {
  for (const char* file : {"run.yaml", "job.yml", "job.json", "train.runconfig", "unknown"}) {
    const CommandLine line = parsed(std::string(file) + " --console all -- --lr 1");
    EXPECT_THAT(line.words, ElementsAre(file));
    EXPECT_THAT(*line.after_dashes, ElementsAre("--lr", "1"));
    EXPECT_EQ(line.text("console"), "all");
  }
  EXPECT_THAT(parsed("run.yaml train.py").words, ElementsAre("run.yaml", "train.py"));
}

TEST(Habits, AreNotThoseOfCommandsThatRunNothing) {
  const auto line = parse_command_line("topo", Words{"--standalone"}, {});
  ASSERT_FALSE(line);
  EXPECT_THAT(line.error().message, HasSubstr("unknown option --standalone"));
}

TEST(ForeignOptions, EachIsAcceptedOrToldWhatToWrite) {
  for (const ForeignOption& foreign : foreign_options()) {
    for (const std::string& name : split(foreign.names, ' ')) {
      EXPECT_EQ(find_option("run", name.substr(name.find_first_not_of('-'))), nullptr) << name;
      std::string text = name;
      const std::string value(foreign.only.substr(0, foreign.only.find(' ')));
      for (int count = 0; count < foreign.values; ++count) {
        text += " " + (value.empty() ? "value" : value);
      }
      if (!foreign.only.empty()) {
        EXPECT_EQ(refused(name + " another -- x").hint, foreign.else_hint);
        EXPECT_EQ(refused(name + "=another -- x").hint, foreign.else_hint);
        EXPECT_EQ(refused(name).hint, foreign.else_hint);
      }
      if (foreign.accepted) {
        EXPECT_THAT(echoes_of(parsed(text + " -- x")),
                    ElementsAre(text + " is " + std::string(foreign.what)));
        EXPECT_THAT(*parsed(text + " -- x").after_dashes, ElementsAre("x"));
      } else {
        const Error error = refused(text + " -- x");
        EXPECT_EQ(error.message, name + " is no option of muster run");
        EXPECT_EQ(error.hint, foreign.what);
      }
    }
  }
  EXPECT_THAT(echoes_of(parsed("--rdzv_endpoint=localhost:0 -- x")),
              ElementsAre(HasSubstr("needs no rendezvous")));
  EXPECT_THAT(refused("--rdzv_endpoint=node-a:29500 train.py").hint, HasSubstr("no rendezvous"));
  EXPECT_THAT(refused("--bind-to core -- x").hint, HasSubstr("Muster places the ranks itself"));
  EXPECT_THAT(refused("-hostfile hosts -- x").hint, HasSubstr("the node it is started on"));
}

TEST(ProcessCounts, AreThoseOfThisMachine) {
  const auto counts = with_counts(parsed("--nproc-per-node cpu -- x").overrides);
  ASSERT_TRUE(counts);
  EXPECT_GE(parse_integer(counts->front().value).value_or(0), 1);
  EXPECT_EQ(counts->front().origin.text,
            "--nproc-per-node (-n) cpu: CPUs that this process may use");
}

TEST(ProcessCounts, OfTorchrunsAutoAreGpusElseCpusAndOfOurOwnTheConfigs) {
  const CommandLine line = parsed("--nproc-per-node auto -- x");
  EXPECT_THAT(echoes_of(line), ElementsAre("--nproc-per-node auto is -n gpu where one can be seen, "
                                           "else -n cpu"));
  const auto counts = with_counts(line.overrides);
  ASSERT_TRUE(counts);
  EXPECT_GE(parse_integer(counts->front().value).value_or(0), 1);
  EXPECT_THAT(counts->front().origin.text, HasSubstr("--nproc-per-node (-n) auto: "));
  EXPECT_EQ(last_set(parsed("-n auto -- x")), "process_count_per_node=auto");
  EXPECT_EQ(with_counts(parsed("-n auto -- x").overrides)->front().value, "auto");
}

TEST(ProcessCounts, OfAnOverruledVariableAreNotLookedFor) {
  const auto counts =
      with_counts(parsed("-n 2 -- x", {{"MUSTER_PROCESS_COUNT_PER_NODE", "gpu"}}).overrides);
  ASSERT_TRUE(counts) << counts.error().message;
  EXPECT_EQ(counts->back().value, "2");
}

TEST(ProcessCounts, AreNoScripts) {
  EXPECT_EQ(refused("--nproc-per-node train.py").message,
            "--nproc-per-node took \"train.py\" as its value, the number of ranks");
  EXPECT_EQ(refused("-n python3 train.py").hint, "write the number before it: -n 4 python3");
}

}  // namespace
}  // namespace muster::cli
