#include "launcher/exec/mpirun_probe.h"

#include <sys/stat.h>

#include <tuple>

#include "base/files.h"
#include "tests/support/scratch.h"

namespace muster::exec {
namespace {

namespace fs = std::filesystem;

TEST(ParseMpirunVersionTest, ReadsOpenMpisWords) {
  const auto identity =
      parse_mpirun_version("/usr/bin/mpirun", "mpirun (Open MPI) 4.1.4\n\nReport bugs to …\n");
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->executable, "/usr/bin/mpirun");
  EXPECT_EQ(identity->version, "4.1.4");
  EXPECT_EQ(identity->major, 4);
  EXPECT_EQ(identity->minor, 1);
}

TEST(ParseMpirunVersionTest, ReadsOtherVersionsAndACutAnswer) {
  EXPECT_EQ(parse_mpirun_version("m", "mpirun (Open MPI) 5.0.0rc7\n")->version, "5.0.0rc7");
  EXPECT_EQ(parse_mpirun_version("m", "mpirun (Open MPI) 10.2")->major, 10);
  EXPECT_EQ(parse_mpirun_version("m", "a warning\nmpirun (Open MPI) 4.0.3\n")->minor, 0);
}

TEST(ParseMpirunVersionTest, QuotesWhatElseItSays) {
  const auto identity = parse_mpirun_version("/opt/bin/mpirun", "mpirun (LAM) 7.1\nmore\n");
  ASSERT_FALSE(identity);
  EXPECT_EQ(identity.error().code, ErrorCode::kResources);
  EXPECT_EQ(identity.error().message,
            "/opt/bin/mpirun is not Open MPI: it says \"mpirun (LAM) 7.1\"");
  EXPECT_NE(identity.error().hint, "");
}

// What MPICH 5.0.2 and Intel MPI 2021.19 from PyPI and Debian's MPICH 4.0.2 answered.
TEST(ParseMpirunVersionTest, NamesOtherMpis) {
  const std::pair<const char*, const char*> answers[] = {
      {"HYDRA build details:\n"
       "    Version:                                 5.0.2\n"
       "    Release Date:                            Fri Sep 25 20:45:26 UTC 2026\n"
       "    CC:                              cc\n"
       "    Configure options:                       --with-device=ch4:ucx,ofi\n"
       "    Process Manager:                         pmi\n",
       "m is MPICH 5.0.2, and Muster starts ranks with Open MPI only"},
      {"HYDRA build details:\n    Version:                                 4.0.2\n",
       "m is MPICH 4.0.2, and Muster starts ranks with Open MPI only"},
      {"Intel(R) MPI Library for Linux* OS, Version 2021.19.0 Build 20260929 (id: 1821d9b)\n"
       "Copyright 2003-2026, Intel Corporation.\n",
       "m is Intel MPI 2021.19.0, and Muster starts ranks with Open MPI only"},
  };
  for (const auto& [answer, message] : answers) {
    const auto identity = parse_mpirun_version("m", answer);
    ASSERT_FALSE(identity);
    EXPECT_EQ(identity.error().code, ErrorCode::kResources);
    EXPECT_EQ(identity.error().message, message);
    EXPECT_NE(identity.error().hint.find("--backend direct"), std::string::npos);
  }
}

TEST(ParseMpirunVersionTest, QuotesACutAnswerOfAnotherMpi) {
  for (const std::string output : {"HYDRA build details:\n", "HYDRA build details:\n Version:  "}) {
    EXPECT_EQ(parse_mpirun_version("m", output).error().message,
              "m is not Open MPI: it says \"HYDRA build details:\"");
  }
}

TEST(ParseMpirunVersionTest, RefusesWhatHasNoVersion) {
  for (const std::string output :
       {"", "(Open MPI) ", "mpirun (Open MPI) x.y", "mpirun (Open MPI) 4", "(Open MPI) 4.\n"}) {
    EXPECT_FALSE(parse_mpirun_version("m", output)) << output;
  }
}

// Anything may be called mpirun; its words end on a terminal.
TEST(ParseMpirunVersionTest, LetsNoControlCharacterThrough) {
  const auto other = parse_mpirun_version("m", "\x1b[2Jhello\r\n");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().message, "m is not Open MPI: it says \"?[2Jhello?\"");
  EXPECT_EQ(parse_mpirun_version("m", "mpirun (Open MPI) 4.1\x1b[m\n")->version, "4.1?[m");
}

TEST(ParseMpirunVersionTest, RefusesNumbersThatNoVersionHas) {
  for (const std::string output : {"(Open MPI) -4.1", "(Open MPI) 4.-1", "(Open MPI) 99999999999.1",
                                   "(Open MPI) 4.4294967297", "(Open MPI)  4.1"}) {
    EXPECT_FALSE(parse_mpirun_version("m", output)) << output;
  }
}

class FindMpirunTest : public test::ScratchTest {
 protected:
  using Environment = std::map<std::string, std::string>;

  Environment environment(const std::string& fake_version = "") const {
    Environment variables = {{"PATH", bin().string() + ":/usr/bin:/bin"},
                             {"XDG_CACHE_HOME", (scratch() / "cache").string()}};
    if (!fake_version.empty()) variables["FAKE_VERSION"] = fake_version;
    return variables;
  }

  fs::path bin() const { return scratch() / "bin"; }
  fs::path mpirun() const { return bin() / "mpirun"; }
  void script(const std::string& text) const { write("bin/mpirun", "#!/bin/sh\n" + text, 0755); }

  void elf() const {
    fs::create_directories(bin());
    fs::copy_file(MUSTER_PRINTS_VERSION, mpirun(), fs::copy_options::overwrite_existing);
  }

  static std::string version_of(const Environment& environment) {
    const auto found = find_mpirun(environment);
    return found ? found->version : "error: " + found.error().message;
  }
};

TEST_F(FindMpirunTest, TakesTheFirstOnPathByItsFullPath) {
  script("echo 'mpirun (Open MPI) 4.1.4'");
  const auto found = find_mpirun(environment());
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->executable, mpirun().string());
  EXPECT_EQ(found->version, "4.1.4");
}

TEST_F(FindMpirunTest, WithoutOneItSaysWhatToDo) {
  Environment variables = environment();
  variables["PATH"] = "/nowhere";
  const auto found = find_mpirun(variables);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kResources);
  EXPECT_EQ(found.error().message, "no mpirun on PATH, and distributed_backend is mpi");
  EXPECT_NE(found.error().hint.find("openmpi-bin"), std::string::npos);
}

TEST_F(FindMpirunTest, OneThatFailsIsQuoted) {
  script("echo 'libopen-rte.so.40: cannot open'; exit 127");
  EXPECT_EQ(version_of(environment()), "error: `" + mpirun().string() +
                                           " --version` exited with 127: "
                                           "libopen-rte.so.40: cannot open");
}

TEST_F(FindMpirunTest, OneThatCannotBeExecutedIsAnError) {
  write("bin/mpirun",
        "\x7f"
        "ELF is not enough",
        0755);
  EXPECT_NE(version_of(environment()).find("error: "), std::string::npos);
}

TEST_F(FindMpirunTest, OneThatNeverStopsTalkingIsEnded) {
  script("exec yes");
  EXPECT_NE(version_of(environment()).find("error: `" + mpirun().string() + " --version` "),
            std::string::npos);
}

TEST_F(FindMpirunTest, ASurroundingJobsVariablesAreKeptFromIt) {
  script("echo \"mpirun (Open MPI) 4.1.${OMPI_COMM_WORLD_RANK:-clean}\"");
  Environment variables = environment();
  variables["OMPI_COMM_WORLD_RANK"] = "7";
  EXPECT_EQ(version_of(variables), "4.1.clean");
}

TEST_F(FindMpirunTest, WhereAMovedInstallationLiesReachesIt) {
  script("echo \"mpirun (Open MPI) 4.1.4-at-${OPAL_PREFIX:-nowhere}\"");
  Environment variables = environment();
  variables["OPAL_PREFIX"] = "/moved";
  EXPECT_EQ(version_of(variables), "4.1.4-at-/moved");
  variables["OMPI_COMM_WORLD_RANK"] = "7";
  EXPECT_EQ(version_of(variables), "4.1.4-at-nowhere") << "it is the surrounding mpirun's";
}

TEST_F(FindMpirunTest, TheAnswerOfAProgramFileIsRememberedUntilItChanges) {
  elf();
  EXPECT_EQ(version_of(environment("mpirun (Open MPI) 4.1.4")), "4.1.4");
  EXPECT_EQ(version_of(environment("mpirun (Open MPI) 9.9.9")), "4.1.4")
      << "it was not asked again";
  const timespec times[2] = {{1, 0}, {1, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, mpirun().c_str(), times, 0), 0);
  EXPECT_EQ(version_of(environment("mpirun (Open MPI) 9.9.9")), "9.9.9");
  EXPECT_EQ(version_of(environment("mpirun (Open MPI) 8.8.8")), "9.9.9");
}

TEST_F(FindMpirunTest, OmpiInfoBesideItTellsOfPspawnAndIsRememberedToo) {
  elf();
  write("bin/ompi_info",
        "#!/bin/sh\necho \"$*\" | grep -q 'odls pspawn' || exit 1\n"
        "echo 'mca:odls:pspawn:version:\"component:4.1.4\"'\n",
        0755);
  EXPECT_TRUE(find_mpirun(environment("mpirun (Open MPI) 4.1.4"))->has_pspawn);
  fs::remove(bin() / "ompi_info");
  EXPECT_TRUE(find_mpirun(environment("mpirun (Open MPI) 4.1.4"))->has_pspawn);
  fs::remove_all(scratch() / "cache");
  EXPECT_FALSE(find_mpirun(environment("mpirun (Open MPI) 4.1.4"))->has_pspawn);
}

TEST_F(FindMpirunTest, AnOmpiInfoWithoutPspawnThatFailsOrOfOpenMpi5IsNone) {
  const std::string has_it = "echo 'mca:odls:pspawn:version:'\n";
  const std::tuple<std::string, std::string> answers[] = {
      {"echo 'mca:odls:default:version:'\n", "4.1.4"},
      {has_it + "exit 1\n", "4.1.4"},
      {has_it, "5.0.11"},
  };
  for (const auto& [info, version] : answers) {
    elf();
    write("bin/ompi_info", "#!/bin/sh\n" + info, 0755);
    EXPECT_FALSE(find_mpirun(environment("mpirun (Open MPI) " + version))->has_pspawn) << info;
    fs::remove_all(scratch() / "cache");
  }
}

TEST_F(FindMpirunTest, WhatAnEarlierVersionRememberedIsAskedAgain) {
  elf();
  EXPECT_EQ(version_of(environment("mpirun (Open MPI) 4.1.4")), "4.1.4");
  std::string cache = *read_file(scratch() / "cache/muster/mpirun-versions");
  write("cache/muster/mpirun-versions", cache.substr(0, cache.rfind('\t')) + "\n");
  EXPECT_EQ(version_of(environment("mpirun (Open MPI) 4.1.6")), "4.1.6");
}

TEST_F(FindMpirunTest, AScriptIsAskedEveryTime) {
  script("echo 'mpirun (Open MPI) 4.1.4'");
  EXPECT_EQ(version_of(environment()), "4.1.4");
  script("echo 'mpirun (Open MPI) 4.1.5'");
  EXPECT_EQ(version_of(environment()), "4.1.5");
  EXPECT_FALSE(fs::exists(scratch() / "cache"));
}

TEST_F(FindMpirunTest, ABadAnswerIsNotRemembered) {
  elf();
  EXPECT_NE(version_of(environment("HYDRA")).find("is not Open MPI"), std::string::npos);
  EXPECT_EQ(version_of(environment("mpirun (Open MPI) 4.1.4")), "4.1.4");
}

TEST_F(FindMpirunTest, ACacheOfGarbageOrNoCacheCostsOnlyTheQuestion) {
  elf();
  write("cache/muster/mpirun-versions", std::string("\0\xff\t\n\t\t\n", 7));
  EXPECT_EQ(version_of(environment("mpirun (Open MPI) 4.1.4")), "4.1.4");
  write("file", "");
  Environment variables = environment("mpirun (Open MPI) 4.1.5");
  variables["XDG_CACHE_HOME"] = (scratch() / "file").string();
  EXPECT_EQ(version_of(variables), "4.1.5");
  variables.erase("XDG_CACHE_HOME");
  variables.erase("HOME");
  EXPECT_EQ(version_of(variables), "4.1.5");
}

TEST_F(FindMpirunTest, AHomeThatCannotBeWrittenCostsOnlyTheQuestion) {
  elf();
  Environment variables = environment("mpirun (Open MPI) 4.1.4");
  variables.erase("XDG_CACHE_HOME");
  variables["HOME"] = "/proc/self/fdinfo";  // read-only for root too
  EXPECT_EQ(version_of(variables), "4.1.4");
  variables["FAKE_VERSION"] = "mpirun (Open MPI) 4.1.5";
  EXPECT_EQ(version_of(variables), "4.1.5");
}

TEST_F(FindMpirunTest, ItIsRememberedInMustersCacheDirectory) {
  elf();
  Environment variables = environment("mpirun (Open MPI) 4.1.4");
  variables["MUSTER_CACHE_DIR"] = (scratch() / "own").string();
  EXPECT_EQ(version_of(variables), "4.1.4");
  EXPECT_TRUE(fs::exists(scratch() / "own/mpirun-versions"));
  EXPECT_FALSE(fs::exists(scratch() / "cache"));
}

TEST_F(FindMpirunTest, AnotherProgramInItsPlaceIsAskedEvenWithTheSameTime) {
  elf();
  EXPECT_EQ(version_of(environment("mpirun (Open MPI) 4.1.4")), "4.1.4");
  struct stat before {};
  ASSERT_EQ(::stat(mpirun().c_str(), &before), 0);
  fs::copy_file(mpirun(), bin() / "new");  // as a package manager replaces it: by rename
  const timespec times[2] = {before.st_mtim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, (bin() / "new").c_str(), times, 0), 0);
  fs::rename(bin() / "new", mpirun());
  EXPECT_EQ(version_of(environment("mpirun (Open MPI) 4.1.5")), "4.1.5");
}

}  // namespace
}  // namespace muster::exec
