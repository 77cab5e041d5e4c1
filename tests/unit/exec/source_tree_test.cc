#include "launcher/exec/source_tree.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>

#include "base/files.h"
#include "tests/support/scratch.h"

namespace muster::exec {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

class SourceTreeTest : public test::ScratchTest {
 protected:
  fs::path root() const { return scratch() / "src"; }

  SourceTree look(const fs::path& runs = {}) const {
    auto tree = look_at_source(root(), runs);
    EXPECT_TRUE(tree) << tree.error().message;
    return tree ? std::move(*tree) : SourceTree{};
  }

  static Names names(const std::vector<SourceEntry>& entries) {
    Names names;
    for (const SourceEntry& entry : entries) names.push_back(entry.path);
    return names;
  }
};

TEST_F(SourceTreeTest, FindsFilesFoldersAndLinksInOrder) {
  write("src/b.py", "12345");
  write("src/a/z.py", "1");
  write("src/a-b/y.py", "");
  fs::create_directories(root() / "empty");
  fs::create_symlink("a/z.py", root() / "link");
  const SourceTree tree = look();
  EXPECT_EQ(names(tree.files), (Names{"a-b/y.py", "a/z.py", "b.py", "link"}));
  EXPECT_EQ(names(tree.folders), (Names{"a", "a-b", "empty"}));
  EXPECT_EQ(tree.facts.files, 4);
  EXPECT_EQ(tree.facts.bytes, 6);
  EXPECT_EQ(tree.facts.ignore_file, "");
  EXPECT_TRUE(tree.facts.complete);
}

TEST_F(SourceTreeTest, LeavesOutGitAndWhatIsNoData) {
  write("src/train.py", "x");
  write("src/.git/HEAD", "x");
  write("src/sub/.git", "gitdir: x");
  ASSERT_EQ(::mkfifo((root() / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(names(look().files), (Names{"train.py"}));
}

TEST_F(SourceTreeTest, LeavesOutTheRunsDirectoryAlsoByAnotherName) {
  write("src/train.py", "x");
  write("src/results/r1/run.json", "x");
  fs::create_symlink(root() / "results", scratch() / "other");
  EXPECT_EQ(names(look(scratch() / "other").files), (Names{"train.py"}));
  EXPECT_EQ(look(scratch() / "none").files.size(), 2U);
}

TEST_F(SourceTreeTest, WhereRunsLieBesideTheSourceTheyAreLeftOut) {
  write("src/train.py", "x");
  write("src/r1/run.json", "x");
  write("src/r1/events.jsonl", "x");
  write("src/mine/run.json", "x");
  EXPECT_EQ(names(look(root()).files), (Names{"mine/run.json", "train.py"}));
}

TEST_F(SourceTreeTest, AmlignoreCountsAndGitignoreDoesNotBesideIt) {
  write("src/.gitignore", "*.py\n");
  write("src/train.py", "x");
  write("src/data/big", "x");
  EXPECT_EQ(names(look().files), (Names{".gitignore", "data/big"}));
  EXPECT_EQ(look().facts.ignore_file, ".gitignore");
  EXPECT_EQ(look().facts.left_out, 1);
  write("src/.amlignore", "data/\n");
  EXPECT_EQ(names(look().files), (Names{".amlignore", ".gitignore", "train.py"}));
  EXPECT_EQ(look().facts.ignore_file, ".amlignore");
}

TEST_F(SourceTreeTest, TellsWhatIsLargestAndWhatHasTheMostFiles) {
  write("src/one.bin", std::string(1000, 'x'));
  for (int i = 0; i < 20; ++i) write("src/many/" + std::to_string(i), "x");
  for (const char* name : {"a", "b", "c", "d"}) write("src/" + std::string(name), "xx");
  const auto largest = look().facts.largest;
  ASSERT_FALSE(largest.empty());
  EXPECT_EQ(largest[0].path, "one.bin");
  const auto many = std::find_if(largest.begin(), largest.end(),
                                 [](const auto& item) { return item.path == "many/"; });
  ASSERT_NE(many, largest.end());
  EXPECT_EQ(many->files, 20);
  EXPECT_EQ(many->bytes, 20);
}

TEST_F(SourceTreeTest, ABigFileDeepInATreeIsNamedToo) {
  for (int i = 0; i < 40; ++i) write("src/a/" + std::to_string(i), "xx");
  write("src/a/b/big.bin", std::string(1000, 'x'));
  const auto largest = look().facts.largest;
  ASSERT_EQ(largest.size(), 2U);
  EXPECT_EQ(largest[0].path, "a/");
  EXPECT_EQ(largest[1].path, "a/b/big.bin");
  EXPECT_EQ(largest[1].bytes, 1000);
}

TEST_F(SourceTreeTest, LinksInsideAreKeptAndOthersNamed) {
  write("outside/data", "x");
  write("src/a/real", "x");
  const auto link = [&](const char* target, const char* name) {
    fs::create_symlink(target, root() / name);
  };
  for (const char* inside : {"a/real", "a", "./a/real", "a/../a/real", "nowhere", "."}) {
    link(inside, ("in" + std::to_string(std::hash<std::string>()(inside))).c_str());
  }
  link("../a/real", "a/up");
  link("loop", "loop");
  EXPECT_EQ(look().facts.links_outside, Names{});

  link("../outside", "up");
  link((root() / "a/real").c_str(), "absolute");
  link("/nowhere", "dangling");
  link("../src/a", "back");
  link("a/../../src/a", "way");
  fs::create_directories(root() / "deep/er");
  fs::create_directory_symlink("deep/er", root() / "hop");
  link("hop/../../../outside", "over");
  link("/elsewhere", "outputs");  // results go where it leads: not of the source
  Names outside = look().facts.links_outside;
  std::sort(outside.begin(), outside.end());
  EXPECT_EQ(outside, (Names{"absolute -> " + (root() / "a/real").string(), "back -> ../src/a",
                            "dangling -> /nowhere", "over -> hop/../../../outside",
                            "up -> ../outside", "way -> a/../../src/a"}));
}

TEST_F(SourceTreeTest, ALinkToAFolderIsNotEntered) {
  write("src/a/file", "x");
  fs::create_directory_symlink("a", root() / "b");
  EXPECT_EQ(names(look().files), (Names{"a/file", "b"}));
}

TEST_F(SourceTreeTest, AMissingSourceIsADataError) {
  const auto tree = look_at_source(scratch() / "none", {});
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().code, ErrorCode::kData);
  EXPECT_EQ(tree.error().message.find("looking at source_directory: "), 0U);
}

// ---- beside git itself ----

std::string quoted(const fs::path& path) {
  return "'" + path.string() + "'";
}

// What git leaves out of a tree, below folders that it leaves out too.
class BesideGitTest : public SourceTreeTest {
 protected:
  static constexpr const char* kGit =
      "env -u GIT_DIR GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null git -c "
      "safe.directory='*' ";

  std::string pick(const std::vector<std::string>& from) { return from[random_() % from.size()]; }

  std::string random_name() {
    static const Names kNames = {"a",  "b",  "ab", "abc", "a.c", "x.log", "[a]", "a b",
                                 "#a", "!a", "a*", "-",   "]",   "\\",    "B"};
    return pick(kNames);
  }

  std::string random_pattern() {
    static const Names kPieces = {
        "a",           "b",       "c",  "ab",   "*",    "**",    "?",     "/",
        "/",           ".log",    ".c", "[ab]", "[!a]", "[a-c]", "[^b-]", "[]a]",
        "[[:alpha:]]", "[[:x:]]", "[",  "]",    "\\",   "\\*",   "\\a",   " ",
        "#",           "!",       "-",  "**/",  "/**",  "/**/",  "x"};
    std::string pattern = random_() % 5 == 0 ? "!" : "";
    for (auto left = 1 + random_() % 4; left > 0; --left) pattern += pick(kPieces);
    return pattern + (random_() % 5 == 0 ? "/" : "") + (random_() % 8 == 0 ? " " : "");
  }

  void make_tree(const fs::path& folder, int depth) {
    fs::create_directories(folder);
    if (depth < 3 && random_() % 2 == 0) {
      std::string rules;
      for (auto left = 1 + random_() % 5; left > 0; --left) {
        rules += random_pattern() + (random_() % 10 == 0 ? "\r\n" : "\n");
      }
      std::ofstream(folder / ".gitignore") << rules;
    }
    for (auto left = 1 + random_() % 6; left > 0; --left) {
      const fs::path path = folder / random_name();
      if (fs::exists(path)) continue;
      if (depth < 3 && random_() % 2 == 0) {
        make_tree(path, depth + 1);
      } else {
        std::ofstream(path) << "x";
      }
    }
  }

  std::set<std::string> ignored_by_git() const {
    std::string all;
    for (const auto& entry : fs::recursive_directory_iterator(root())) {
      const std::string name = entry.path().lexically_relative(root()).string();
      if (name != ".git" && !name.starts_with(".git/")) all += name + '\0';
    }
    std::ofstream(scratch() / "all", std::ios::binary) << all;
    const std::string command = std::string(kGit) + "-C " + quoted(root()) +
                                " check-ignore --no-index -z --stdin < " +
                                quoted(scratch() / "all") + " > " + quoted(scratch() / "ignored");
    const int status = std::system(command.c_str());
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) <= 1) << status;
    std::set<std::string> ignored;
    const std::string text = read(scratch() / "ignored");
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\0', at);
      ignored.insert(text.substr(at, end - at));
      at = end + 1;
    }
    return ignored;
  }

  std::set<std::string> ignored_by_us() const {
    const SourceTree tree = look();
    std::set<std::string> kept;
    for (const auto* entries : {&tree.files, &tree.folders}) {
      for (const SourceEntry& entry : *entries) kept.insert(entry.path);
    }
    std::set<std::string> ignored;
    for (const auto& entry : fs::recursive_directory_iterator(root())) {
      const std::string name = entry.path().lexically_relative(root()).string();
      if (name == ".git" || name.starts_with(".git/")) continue;
      if (!kept.contains(name)) ignored.insert(name);
    }
    return ignored;
  }

  std::mt19937 random_{20231123};
};

TEST_F(BesideGitTest, RandomTreesAreLeftOutAsGitLeavesThemOut) {
  if (std::system("git --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no git";
  std::size_t ignored_in_all = 0;
  for (int round = 0; round < 150; ++round) {
    fs::remove_all(root());
    make_tree(root(), 0);
    // All that check-ignore needs of a repository.
    fs::create_directories(root() / ".git/objects");
    fs::create_directories(root() / ".git/refs");
    std::ofstream(root() / ".git/HEAD") << "ref: refs/heads/main\n";
    const auto git = ignored_by_git();
    const auto ours = ignored_by_us();
    ignored_in_all += git.size();
    if (git == ours) continue;
    std::string rules;
    for (const auto& entry : fs::recursive_directory_iterator(root())) {
      if (entry.path().filename() == ".gitignore")
        rules += entry.path().string() + ":\n" + read(entry.path());
    }
    for (const std::string& path : git) EXPECT_TRUE(ours.contains(path)) << path << "\n" << rules;
    for (const std::string& path : ours) EXPECT_TRUE(git.contains(path)) << path << "\n" << rules;
    FAIL() << "round " << round;
  }
  EXPECT_GT(ignored_in_all, 300U) << "the trees say little";
}

}  // namespace
}  // namespace muster::exec
