#include "launcher/cli/complete.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/cli/commands.h"
#include "launcher/cli/options.h"

namespace muster::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

using Words = std::vector<std::string>;

Completion completion_of(const Words& words) {
  return complete(words, "runs", [](const std::string& runs_dir) {
    return Words{runs_dir + "-b", runs_dir + "-a"};
  });
}

Words texts_of(const Words& words) {
  Words texts;
  for (const Candidate& each : completion_of(words).candidates) texts.push_back(each.text);
  return texts;
}

TEST(Complete, Commands) {
  const Words all = texts_of({""});
  for (const std::string& name : command_names()) EXPECT_THAT(all, Contains(name));
  EXPECT_THAT(all, Not(Contains("complete")));
  EXPECT_THAT(texts_of({"va"}), ElementsAre("validate"));
  EXPECT_THAT(texts_of({"nonsense", ""}), IsEmpty());
  EXPECT_THAT(texts_of({}), IsEmpty());
}

TEST(Complete, EveryOptionOfACommand) {
  for (const CommandRow& command : commands()) {
    const Words found = texts_of({std::string(command.name), "--"});
    for (const OptionRow* option : options_of(command.name)) {
      if (option->hidden) continue;
      EXPECT_THAT(found, Contains("--" + std::string(option->name)));
    }
  }
  EXPECT_THAT(texts_of({"run", "--cons"}), ElementsAre("--console"));
}

TEST(Complete, ChoicesOfAnOption) {
  EXPECT_THAT(texts_of({"run", "--console", ""}), ElementsAre("rank0", "all", "none", "errors"));
  EXPECT_THAT(texts_of({"run", "--console=a"}), ElementsAre("--console=all"));
  EXPECT_THAT(texts_of({"plan", "--format", ""}), ElementsAre("text", "json", "svg", "argv"));
  EXPECT_THAT(texts_of({"topo", "--format", ""}), ElementsAre("text", "json", "svg"));
  EXPECT_THAT(texts_of({"run", "-n", "a"}), ElementsAre("auto"));
  EXPECT_THAT(texts_of({"run", "--nproc-per-node", "c"}), ElementsAre("cpu"));
}

TEST(Complete, ListsOfStreams) {
  EXPECT_THAT(texts_of({"logs", "--stream", "st"}), ElementsAre("stdout", "stderr"));
  EXPECT_THAT(texts_of({"logs", "--stream=std"}),
              ElementsAre("--stream=stdout", "--stream=stderr"));
  EXPECT_THAT(texts_of({"logs", "--stream", "stdout,ev"}), ElementsAre("stdout,events"));
}

TEST(Complete, LeavesFilesAndProgramsToTheShell) {
  EXPECT_EQ(completion_lines(completion_of({"run", ""})), ":files yaml yml json runconfig py\n");
  EXPECT_EQ(completion_lines(completion_of({"run", "--console", "all", "r"})),
            ":files yaml yml json runconfig py\n");
  EXPECT_EQ(completion_lines(completion_of({"run", "run.yaml", ""})), "");
  EXPECT_EQ(completion_lines(completion_of({"run", "--runs-dir", ""})), ":directories\n");
  EXPECT_EQ(completion_lines(completion_of({"plan", "--topology="})), ":files \n");
  EXPECT_EQ(completion_lines(completion_of({"run", "-n", "2", "--", "py"})), ":command\n");
  EXPECT_EQ(completion_lines(completion_of({"run", "--set", ""})), "");
}

TEST(Complete, OffersNoOptionsWhereTheyWouldGoToTheProgram) {
  for (const Words& before : {Words{"run", "show.py"}, Words{"run", "-n", "2", "show.py", "--lr"},
                              Words{"run", "python3"}, Words{"run", "-m", "pkg.yaml"}}) {
    Words words = before;
    words.push_back("--");
    EXPECT_EQ(completion_lines(completion_of(words)), "") << before.back();
    words.back() = "da";
    EXPECT_EQ(completion_lines(completion_of(words)), ":files \n") << before.back();
  }
  EXPECT_THAT(texts_of({"run", "run.yaml", "--cons"}), ElementsAre("--console"));
  EXPECT_THAT(texts_of({"logs", "20261123-06", "--raw"}), ElementsAre("--raw"));
}

TEST(Complete, DescribesInALine) {
  EXPECT_EQ(completion_lines(completion_of({"run", "--stdi"})),
            "--stdin\twho reads this command's standard input\n");
}

// Of every command that takes a run.
TEST(Complete, Runs) {
  for (const CommandRow& command : commands()) {
    if (command.words != CommandRow::Words::kRun) continue;
    const std::string name(command.name);
    EXPECT_THAT(texts_of({name, ""}), ElementsAre("latest", "runs-b", "runs-a"));
    EXPECT_THAT(texts_of({name, "--runs-dir", "there", "there-"}),
                ElementsAre("there-b", "there-a"));
  }
}

TEST(Complete, KnowsAScriptForEachShell) {
  for (const char* shell : {"bash", "zsh", "fish"}) EXPECT_NE(completion_script(shell), "");
  EXPECT_EQ(completion_script("csh"), "");
}

}  // namespace
}  // namespace muster::cli
