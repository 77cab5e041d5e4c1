// What people read when a config is wrong, word for word.

#include <gmock/gmock.h>

#include "tests/unit/config/config_fixture.h"

namespace muster::config {
namespace {

using testing::Each;
using testing::Field;
using testing::HasSubstr;
using testing::SizeIs;

// NAME.yaml is refused with exactly the text of NAME.expected.txt.
class RefusedFile : public testing::TestWithParam<const char*> {};

TEST_P(RefusedFile, IsRefusedWithExactlyTheseMessages) {
  const std::string name = GetParam();
  auto config = read_config(test_file(name + ".yaml"), name + ".yaml", "/configs", {});
  ASSERT_FALSE(config);
  EXPECT_EQ(text_of(config.error()), test_file(name + ".expected.txt"));
  EXPECT_THAT(config.error(), Each(Field(&Error::code, ErrorCode::kConfig)));
}

INSTANTIATE_TEST_SUITE_P(Messages, RefusedFile,
                         testing::Values("many_errors", "later_features", "tab", "list",
                                         "no_backend", "open_quote"),
                         [](const auto& test) { return std::string(test.param); });

struct BadValue {
  const char* line;
  const char* message;  // a part of it
  const char* hint;     // a part of it
};

class RefusedValue : public testing::TestWithParam<BadValue> {};

TEST_P(RefusedValue, IsRefusedWithAReasonAndAHint) {
  const auto config = read(with_line(GetParam().line));
  ASSERT_FALSE(config) << GetParam().line;
  ASSERT_THAT(config.error(), SizeIs(1)) << text_of(config.error());
  const Error& error = config.error()[0];
  EXPECT_THAT(error.message, HasSubstr(GetParam().message));
  EXPECT_THAT(error.hint, HasSubstr(GetParam().hint));
  ASSERT_TRUE(error.location.has_value());
  EXPECT_GE(error.location->line, 2);
  EXPECT_GE(error.location->column, 1);
}

const char* const kProcesses = "write a whole number of processes, 1 or more, or auto";
const char* const kDuration = "write a duration such as 500ms, 30s, 2m or 1h";

INSTANTIATE_TEST_SUITE_P(
    Count, RefusedValue,
    testing::Values(
        BadValue{"process_count_per_node: 0", "0 is less than 1", kProcesses},
        BadValue{"process_count_per_node: -3", "-3 is less than 1", kProcesses},
        BadValue{"process_count_per_node: 1e3", "\"1e3\" is not a whole number", kProcesses},
        BadValue{"process_count_per_node: four", "\"four\" is not a whole number", kProcesses},
        BadValue{"process_count_per_node: 4.0", "\"4.0\" is not a whole number", kProcesses},
        BadValue{"process_count_per_node: 0x4", "\"0x4\" is not a whole number", kProcesses},
        BadValue{"process_count_per_node: +4", "\"+4\" is not a whole number", kProcesses},
        BadValue{"process_count_per_node: 010", "\"010\" has a leading zero", kProcesses},
        BadValue{"process_count_per_node: ''", "the value is empty", kProcesses},
        BadValue{"process_count_per_node:", "it has no value", kProcesses},
        BadValue{"process_count_per_node: ~", "it has no value", kProcesses},
        BadValue{"process_count_per_node: 100001", "100001 is more than 100000", kProcesses},
        BadValue{"process_count_per_node: 99999999999999999999", "too large", kProcesses},
        BadValue{"process_count_per_node: [4]", "it takes one value, not a list", kProcesses},
        BadValue{"process_count_per_node: {a: 4}", "one value, not a mapping", kProcesses},
        BadValue{"node_count: 0", "0 is less than 1", "whole number of nodes"},
        BadValue{"restarts: {max_restarts: -1}", "-1 is less than 0", "0 or more"},
        BadValue{"resources: {reserve_cores: -1}", "-1 is less than 0", "0 or more"},
        BadValue{"resources: {threads: many}", "\"many\" is not a whole number", "auto, keep or"},
        BadValue{"resources: {layout: tight}", "\"tight\" is not one of", "strict, balanced"},
        BadValue{"resources: {rank_map: 0-3}", "it takes a list", "an entry for each local rank"},
        BadValue{"resources: {rank_map: [0-3]}", "local rank 0 has no names", "{cpus: 0-3"},
        BadValue{"resources: {rank_map: [{cpu: 0-3}]}", "unknown key \"cpu\"", "cpus"},
        BadValue{"resources: {rank_map: [{cpus: 3-0}]}", "no list of numbers", "0-3,8"},
        BadValue{"resources: {rank_map: [{gpus: [0, 0]}]}", "GPU 0 twice", "once"},
        BadValue{"environment: {variables: {A: \"a\\0b\"}}", "this text contains a NUL",
                 "leave the \\0 out"},
        BadValue{"resources: {gpus_per_process: -1}", "-1 is less than 0", "0 or more"},
        BadValue{"resources: {cores_per_process: 0}", "0 is less than 1", "1 or more"}));

INSTANTIATE_TEST_SUITE_P(
    Duration, RefusedValue,
    testing::Values(
        BadValue{"limits: {drain_timeout: 1d}", "\"1d\" is not a duration", kDuration},
        BadValue{"limits: {drain_timeout: -1s}", "\"-1s\" is not a duration", kDuration},
        BadValue{"limits: {drain_timeout: 1.5s}", "\"1.5s\" is not a duration", kDuration},
        BadValue{"limits: {drain_timeout: s}", "\"s\" is not a duration", kDuration},
        BadValue{"limits: {drain_timeout: 99999999999999999999s}", "ten years", kDuration},
        BadValue{"limits: {drain_timeout: 9000000000000000h}", "ten years", kDuration},
        BadValue{"limits: {join_timeout: 0}", "leaves no time at all", kDuration},
        BadValue{"limits: {node_lost_after: 3s}", "suspect after 3 s of silence", "4s or more"},
        BadValue{"network: {interfaces: 10.0.0.0/33}", "neither a network nor an interface",
                 "[10.0.0.0/24, eth1]"},
        BadValue{"network: {interfaces: [eth0, 'eth 1']}", "\"eth 1\" is neither", "eth1"},
        BadValue{"limits: {max_run_duration_seconds: 600s}", "\"600s\" is not a whole number",
                 "whole number of seconds"},
        BadValue{"limits: {max_run_duration_seconds: 0}", "0 is less than 1", "leave it out"},
        BadValue{"limits: 30s", "limits: it is a group of keys", "join_timeout"}));

INSTANTIATE_TEST_SUITE_P(
    Words, RefusedValue,
    testing::Values(
        BadValue{"distributed_backend: mpl", "\"mpl\" is not one of mpi, direct, none",
                 "did you mean \"mpi\"?"},
        BadValue{"distributed_backend: torch", "\"torch\" is not one of", "write mpi (Open MPI)"},
        BadValue{"resources: {oversubscribe: newer}", "\"newer\" is not one of allow, never",
                 "did you mean \"never\"?"},
        BadValue{"resources: {shm_size: big}", "\"big\" is not a size", "512m or 2g"},
        BadValue{"source_directory: ''", "the value is empty", "directory"},
        BadValue{"environment: {python: {interpreter: }}", "it has no value", "python3"}));

INSTANTIATE_TEST_SUITE_P(
    Keys, RefusedValue,
    testing::Values(
        BadValue{"proces_count_per_node: 4", "unknown key \"proces_count_per_node\"",
                 "did you mean \"process_count_per_node\"?"},
        BadValue{"zzz: 4", "unknown key \"zzz\"",
                 "known keys here: source_directory, in_place, source"},
        BadValue{"limits: {join_timeuot: 4}", "unknown key \"join_timeuot\" in limits",
                 "did you mean \"join_timeout\"?"},
        BadValue{"limits: {zzz: 4}", "unknown key \"zzz\" in limits",
                 "known keys here: max_run_duration_seconds, join_timeout"},
        BadValue{"environment: {python: {zzz: 4}}", "unknown key \"zzz\" in environment.python",
                 "known keys here: interpreter"},
        BadValue{"variables: {}", "unknown key \"variables\"", "belongs below \"environment\""},
        BadValue{"limits: {node_count: 1}", "unknown key \"node_count\" in limits",
                 "belongs on the top level"},
        BadValue{"limits.join_timeout: 3s", "unknown key \"limits.join_timeout\"",
                 "\"join_timeout\" belongs below \"limits\""},
        BadValue{"entry_script: other.py",
                 "duplicate key \"entry_script\": it is already on line 1", "keep one"},
        BadValue{"[a]: 4", "a key must be one word, not a list", "key: value"},
        BadValue{"~: 4", "a key is missing before \":\"", "key: value"},
        BadValue{"<<: 4", "\"<<\" merges mappings", "<<: *name"}));

INSTANTIATE_TEST_SUITE_P(
    Entries, RefusedValue,
    testing::Values(
        BadValue{"script_params: [--lr]", "script_params: it takes names with values", "--lr: 0.1"},
        BadValue{"script_params: {--a: []}", "script_params.--a: it takes a value", "[1, 2]"},
        BadValue{"script_params: {--a: [1, [2]]}", "script_params.--a: it takes a value", "[1, 2]"},
        BadValue{"script_params: {--a: {b: 1}}", "script_params.--a: it takes a value", "[1, 2]"},
        BadValue{"environment: {variables: {A-B: 1}}", "\"A-B\" is not a name", "letters"},
        BadValue{"environment: {variables: {'': 1}}", "\"\" is not a name", "letters"},
        BadValue{"environment: {variables: {A: [1]}}",
                 "environment.variables.A: it takes one value", "OMP_NUM_THREADS"},
        BadValue{"inputs: [a]", "inputs: it takes names with values", "names"},
        BadValue{"metrics: {patterns: {a: b}}", "metrics.patterns: it takes a list", "name: loss"},
        BadValue{"metrics: {patterns: [{name: loss}]}", "[0] has no regex", "name: loss"},
        BadValue{"metrics: {patterns: [{name: loss, regexp: x}]}", "unknown key \"regexp\"",
                 "did you mean \"regex\"?"},
        BadValue{"metrics: {patterns: [{name: loss, regex: '(a'}]}", "no regular expression",
                 "RE2's syntax"},
        BadValue{"metrics: {patterns: [{name: loss, regex: 'a'}]}", "has 0 groups", "(?:…)"},
        BadValue{"metrics: {patterns: [{name: '', regex: '(a)'}]}", "1 to 255", "loss"},
        BadValue{"metrics: {patterns: [hugingface]}", "is no pattern",
                 "did you mean \"huggingface\"?"},
        BadValue{"metrics: {patterns: ['loss=(a)(b)']}", "has 2 groups", "(?:…)"},
        BadValue{"metrics: {patterns: [[a]]}", "its entry 0 is no pattern", "name: loss"}));

class IdentityVariable : public testing::TestWithParam<const char*> {};

TEST_P(IdentityVariable, IsRefusedBecauseEveryRankWouldGetTheSame) {
  const std::string name = GetParam();
  EXPECT_THAT(problems_of(with_line("environment: {variables: {" + name + ": 0}}")),
              HasSubstr("\"" + name +
                        "\" tells each rank who it is, and a config gives every rank "
                        "the same value"));
}

INSTANTIATE_TEST_SUITE_P(Messages, IdentityVariable,
                         testing::Values("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE",
                                         "NODE_RANK", "GROUP_RANK", "OMPI_COMM_WORLD_RANK",
                                         "PMIX_RANK", "PMI_SIZE"));

TEST(Messages, LetVariablesPassWhoseNamesOnlyLookLikeAnIdentity) {
  EXPECT_EQ(problems_of(with_line("environment: {variables: {MY_RANK: 0, RANKS: 1, PMI: 2, "
                                  "OMPI_MCA_btl: self, PMIX_MCA_gds: hash}}")),
            "");
}

TEST(Messages, AskForSomethingToRun) {
  EXPECT_EQ(problems_of("process_count_per_node: 1\n"),
            "muster: error: neither entry_script nor command is given\n"
            "  run.yaml\n"
            "  hint: add \"entry_script: train.py\" or \"command: python3 train.py\"\n");
}

TEST(Messages, PointAtTheSecondOfEntryScriptAndCommand) {
  EXPECT_EQ(problems_of("command: python3 a.py\nentry_script: b.py\n"),
            "muster: error: entry_script: command is given too (run.yaml:1:10), and a run has one "
            "of them\n"
            "  run.yaml:2:15: entry_script: b.py\n"
            "                               ^\n"
            "  hint: keep command, or keep entry_script\n");
}

TEST(Messages, RefuseScriptParamsWithACommand) {
  EXPECT_EQ(problems_of("command: python3 a.py\nscript_params: {--lr: 1}\n"),
            "muster: error: script_params.--lr: script_params go with entry_script, and this run "
            "has a command\n"
            "  run.yaml:2:23: script_params: {--lr: 1}\n"
            "                                       ^\n"
            "  hint: write the arguments into the command\n");
}

TEST(Messages, NameBothBackendsWhenSeveralProcessesHaveNone) {
  EXPECT_EQ(problems_of(with_line("process_count_per_node: 2\ndistributed_backend: none")),
            "muster: error: process_count_per_node: 2 processes need a distributed_backend, and it "
            "is none (run.yaml:3:22)\n"
            "  run.yaml:2:25: process_count_per_node: 2\n"
            "                                         ^\n"
            "  hint: set distributed_backend to mpi (Open MPI starts them) or direct (torch-style, "
            "without MPI)\n");
}

TEST(Messages, DoNotAskForABackendThatWasGivenButMisspelt) {
  const std::string text =
      problems_of(with_line("process_count_per_node: 2\ndistributed_backend: mpl"));
  EXPECT_THAT(text, HasSubstr("did you mean \"mpi\"?"));
  EXPECT_THAT(text, testing::Not(HasSubstr("need a distributed_backend")));
}

TEST(Messages, KeepAValueOfSeveralLinesOnOneAndCutIt) {
  const std::string text =
      problems_of(with_line("process_count_per_node: \"a\\n\\e" + std::string(200, 'x') + "\""));
  EXPECT_THAT(text, HasSubstr("process_count_per_node: \"a\\n?xxx"));
  EXPECT_THAT(text, HasSubstr("xxx…\" is not a whole number"));
}

TEST(Messages, StopAfterAHundred) {
  std::string text = "entry_script: train.py\n";
  for (int i = 0; i < 150; ++i) text += "unknown" + std::to_string(i) + ": 1\n";
  const auto config = read(text);
  ASSERT_FALSE(config);
  ASSERT_THAT(config.error(), SizeIs(101));
  EXPECT_EQ(config.error().back().message, "50 more problems are not shown");
}

}  // namespace
}  // namespace muster::config
