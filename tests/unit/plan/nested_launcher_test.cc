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
  for (const Words& argv :
       {Words{"python3", "train.py"}, Words{"python3", "train.py", "-m", "torch.distributed.run"},
        Words{"python3", "-m"}, Words{"accelerate", "config"}, Words{"./train", "torchrun"},
        Words{}, Words{""}, shell(""), shell("python3 train.py && echo torchrun"),
        shell("torchrun --version; ./train")}) {
    EXPECT_EQ(find_nested_launch(argv).launcher, NestedLauncher::kNone)
        << (argv.empty() ? "" : argv.back());
  }
}

TEST(NestedLauncher, IsSeenInAShellsCommand) {
  for (const char* text : {"torchrun train.py", "exec torchrun train.py",
                           "cd src && exec torchrun train.py", "A=1 B=/x env C=2 torchrun train.py",
                           "echo begin; torchrun train.py", "  /usr/bin/torchrun\n  train.py"}) {
    EXPECT_EQ(find_nested_launch(shell(text)).launcher, NestedLauncher::kTorchrun) << text;
  }
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
