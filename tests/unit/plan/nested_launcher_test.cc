#include "launcher/plan/nested_launcher.h"

#include <gtest/gtest.h>

namespace muster::plan {
namespace {

using Words = std::vector<std::string>;

Words shell(const std::string& text) {
  return {"/bin/sh", "-c", text};
}

TEST(NestedLauncher, IsRecognizedByTheProgramOfTheRank) {
  EXPECT_EQ(find_nested_launch({"torchrun", "train.py"}).launcher, NestedLauncher::kTorchrun);
  EXPECT_EQ(find_nested_launch({"/opt/venv/bin/torchrun", "train.py"}).name, "torchrun");
  EXPECT_EQ(find_nested_launch({"python3", "-u", "-m", "torch.distributed.run", "a.py"}).launcher,
            NestedLauncher::kTorchrun);
  EXPECT_EQ(find_nested_launch({"accelerate", "launch", "train.py"}).launcher,
            NestedLauncher::kAccelerate);
  EXPECT_EQ(find_nested_launch({"deepspeed", "train.py"}).launcher, NestedLauncher::kDeepspeed);
}

TEST(NestedLauncher, IsNoneForAScriptThatOnlyNamesOne) {
  for (const Words& argv : {Words{"python3", "train.py"},
                            Words{"python3", "train.py", "-m", "torch.distributed.run"},
                            Words{"python3", "-m"},
                            Words{"accelerate", "config"},
                            Words{"./train", "torchrun"},
                            Words{},
                            Words{""},
                            Words{"env"},
                            Words{"timeout"},
                            Words{"nice", "-n"},
                            Words{"bash", "-c"},
                            Words{"bash", "torchrun"},
                            Words{"python3", "-W"},
                            Words{"python3", "-c", "torchrun"},
                            Words{"uv", "pip", "torchrun"},
                            Words{"torchrun", "--help"},
                            shell("# torchrun train.py"),
                            shell("echo 'a; torchrun train.py'"),
                            shell("./train > torchrun"),
                            shell(""),
                            shell("python3 train.py && echo torchrun"),
                            shell("torchrun --version; ./train")}) {
    EXPECT_EQ(find_nested_launch(argv).launcher, NestedLauncher::kNone)
        << (argv.empty() ? "" : argv.back());
  }
}

TEST(NestedLauncher, IsSeenInAShellsCommand) {
  for (const char* text :
       {"torchrun train.py", "exec torchrun train.py", "cd src && exec torchrun train.py",
        "A=1 B=/x env C=2 torchrun train.py", "echo begin; torchrun train.py",
        "  /usr/bin/torchrun \\\n  train.py", "set -e\ncd src\ntorchrun train.py\necho done",
        "torchrun train.py 2>&1 | tee out.txt", "torchrun train.py && ./after",
        "torchrun train.py >out 2>&1 &\nwait", "2>log torchrun train.py",
        "if true; then torchrun train.py; fi", "( torchrun train.py )",
        "bash -c \"exec torchrun 'a b.py'\"", "cd \"$A b\";torchrun train.py",
        "A=\"b c\" torchrun train.py # begins", "f() { torchrun a.py; }; f"}) {
    EXPECT_EQ(find_nested_launch(shell(text)).launcher, NestedLauncher::kTorchrun) << text;
  }
}

TEST(NestedLauncher, IsSeenBehindProgramsThatOnlyStartAnother) {
  for (const Words& prefix : {Words{"env", "A=1", "B=2"},
                              {"/usr/bin/env", "-u", "A", "-i", "B=/x"},
                              {"nice"},
                              {"nice", "-n", "5"},
                              {"ionice", "-c3"},
                              {"taskset", "-c", "0-3"},
                              {"numactl", "--cpunodebind=0", "-m", "0"},
                              {"timeout", "1h"},
                              {"timeout", "--signal", "INT", "-k", "5", "1h"},
                              {"time", "-p"},
                              {"exec"},
                              {"stdbuf", "-oL", "-e", "0"},
                              {"setsid", "-w"},
                              {"nohup"},
                              {"conda", "run", "-n", "train", "--no-capture-output"},
                              {"uv", "run", "--with", "numpy", "--"},
                              {"poetry", "run"},
                              {"pipenv", "run"},
                              {"nohup", "env", "A=1", "timeout", "1h"}}) {
    Words argv = prefix;
    argv.insert(argv.end(), {"torchrun", "train.py"});
    EXPECT_EQ(find_nested_launch(argv).launcher, NestedLauncher::kTorchrun) << prefix[0];
    Words script = prefix;
    script.insert(script.end(), {"./train", "torchrun"});
    EXPECT_EQ(find_nested_launch(script).launcher, NestedLauncher::kNone) << prefix[0];
  }
  for (const Words& shell : {Words{"bash", "-c"},
                             {"sh", "-ec"},
                             {"bash", "-eo", "pipefail", "-c"},
                             {"env", "A=1", "bash", "--login", "-c"}}) {
    Words argv = shell;
    argv.emplace_back("cd src && torchrun train.py");
    EXPECT_EQ(find_nested_launch(argv).launcher, NestedLauncher::kTorchrun) << shell[0];
  }
}

TEST(NestedLauncher, IsSeenInPythonsWords) {
  for (const Words& argv : {Words{"python3", "-mtorch.distributed.run", "a.py"},
                            {"python3", "-um", "torch.distributed.run", "a.py"},
                            {"python3", "-W", "ignore", "-m", "torch.distributed.run", "a.py"},
                            {"python3", "-X", "dev", "-u", "-m", "torch.distributed.launch"},
                            {"python3", "/usr/bin/torchrun", "a.py"},
                            {"python3", "-u", "/usr/bin/torchrun", "a.py"}}) {
    EXPECT_EQ(find_nested_launch(argv).launcher, NestedLauncher::kTorchrun) << argv[1];
  }
  EXPECT_EQ(find_nested_launch({"python3", "/opt/bin/accelerate", "launch", "a.py"}).launcher,
            NestedLauncher::kAccelerate);
}

TEST(NestedLauncher, OfSeveralIsTheFirstThatJoins) {
  EXPECT_TRUE(find_nested_launch(shell("torchrun --standalone a.py; torchrun b.py")).joins_others);
  EXPECT_FALSE(find_nested_launch(shell("torchrun --standalone a.py; ./b")).joins_others);
  EXPECT_FALSE(
      find_nested_launch(shell("torchrun --nproc_per_node $(nproc) --nnodes 1 a.py")).joins_others);
}

TEST(NestedLauncher, NamesWhereItsOwnWorldMeets) {
  const auto own = find_nested_launch(
      {"torchrun", "--rdzv_backend=c10d", "--rdzv-endpoint=localhost:0", "train.py"});
  EXPECT_TRUE(own.names_endpoint);
  EXPECT_FALSE(own.joins_others);
  EXPECT_FALSE(find_nested_launch({"torchrun", "--standalone", "train.py"}).names_endpoint);
}

TEST(NestedLauncher, JoinsTheOthersUnlessItsLineSaysOtherwise) {
  for (const Words& options : {Words{}, Words{"--nproc_per_node", "1"}, Words{"--nnodes=2"},
                               Words{"--nnodes", "1:4"}, Words{"--nproc-per-node=1"}}) {
    Words argv{"torchrun"};
    argv.insert(argv.end(), options.begin(), options.end());
    argv.emplace_back("train.py");
    EXPECT_TRUE(find_nested_launch(argv).joins_others) << argv[1];
  }
  for (const Words& options :
       {Words{"--standalone"}, Words{"--nnodes", "1"}, Words{"--nnodes=1:1"}}) {
    Words argv{"torchrun"};
    argv.insert(argv.end(), options.begin(), options.end());
    argv.emplace_back("train.py");
    EXPECT_FALSE(find_nested_launch(argv).joins_others) << argv[1];
    Words with_arguments = shell("torchrun \"$@\"");
    with_arguments.emplace_back("sh");
    with_arguments.insert(with_arguments.end(), options.begin(), options.end());
    EXPECT_FALSE(find_nested_launch(with_arguments).joins_others) << argv[1];
  }
}

TEST(NestedLauncher, DeepspeedJoinsOnlyWithoutSsh) {
  EXPECT_FALSE(find_nested_launch({"deepspeed", "train.py"}).joins_others);
  EXPECT_TRUE(find_nested_launch(shell("deepspeed --no_ssh --node_rank $RANK a.py")).joins_others);
}

}  // namespace
}  // namespace muster::plan
