#include "launcher/plan/placement_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::plan {
namespace {

using Sentences = std::vector<std::string>;

const std::string kItself = "; the program, a library or somebody outside did this";

RankPlacement on_cpus(CpuSet cpus, std::vector<int> memory_nodes = {}) {
  RankPlacement rank;
  rank.cpuset = std::move(cpus);
  rank.memory_nodes = std::move(memory_nodes);
  return rank;
}

PlacementLook look_at(std::vector<ThreadSeen> narrowed, int count = 0) {
  PlacementLook look;
  look.narrowed_count = count == 0 ? static_cast<int>(narrowed.size()) : count;
  look.narrowed = std::move(narrowed);
  return look;
}

PlacementSeen memory(const std::string& policy, const std::string& allowed = "0-3") {
  PlacementSeen seen;
  seen.memory_policy = policy;
  seen.memory_nodes = allowed;
  return seen;
}

TEST(DifferencesOfCpus, AreNoneWhereNothingWasNarrowed) {
  EXPECT_EQ(differences_of_cpus(on_cpus({4, 5, 6, 7}), look_at({}), {}), Sentences{});
}

TEST(DifferencesOfCpus, NameTheNarrowestAndCountTheOthers) {
  const auto planned = on_cpus({4, 5, 6, 7});
  EXPECT_EQ(differences_of_cpus(planned, look_at({{4711, 4711, "python3", {4}}}), {}),
            Sentences{"process 4711 (python3) may use CPU 4 only, planned 4-7" + kItself});
  EXPECT_EQ(
      differences_of_cpus(
          planned, look_at({{4711, 4712, "pin", {4, 5}}, {4711, 4713, "pin", {4, 5}}}, 9), {}),
      Sentences{"thread 4712 (pin) of process 4711 may use CPUs 4-5 only, planned 4-7 (and 8 "
                "threads more differ)" +
                kItself});
}

TEST(DifferencesOfCpus, TellApartWhatLeavesThePlannedCores) {
  EXPECT_EQ(
      differences_of_cpus(on_cpus({4, 5}), look_at({{7, 7, "a", {4}}, {8, 8, "b", {0, 1, 4}}}), {}),
      (Sentences{"process 7 (a) may use CPU 4 only, planned 4-5" + kItself,
                 "process 8 (b) may use CPUs 0-1,4, planned 4-5" + kItself}));
}

TEST(DifferencesOfCpus, SayWhatIsKnownToDoThis) {
  const auto planned = on_cpus({0, 1});
  const auto look = look_at({{7, 7, "python3", {0}}});
  const std::string what = "process 7 (python3) may use CPU 0 only, planned 0-1; ";
  EXPECT_EQ(differences_of_cpus(planned, look, {7, {"python3"}, {{"OMP_PROC_BIND", "close"}}}),
            Sentences{what + "importing torch with OMP_PROC_BIND set may do this"});
  EXPECT_EQ(differences_of_cpus(planned, look, {7, {"python3"}, {{"OMP_PROC_BIND", "FALSE"}}}),
            Sentences{what + kItself.substr(2)});
  EXPECT_EQ(differences_of_cpus(planned, look, {7, {"/usr/bin/taskset", "-c", "0", "x"}, {}}),
            Sentences{what + "`taskset` in the command does this"});
  EXPECT_EQ(differences_of_cpus(planned, look, {7, {"/bin/sh", "-c", "numactl -C 0 x"}, {}}),
            Sentences{what + "`numactl` in the command does this"});
}

// It is what the variable is for; what a process starts inherits from its first thread alone.
TEST(DifferencesOfCpus, AreNoneForThreadsThatOpenMpPins) {
  const auto planned = on_cpus({0, 1});
  const RankProgram pinning{7, {}, {{"GOMP_CPU_AFFINITY", "0-1"}}};
  EXPECT_EQ(
      differences_of_cpus(planned, look_at({{7, 8, "omp", {0}}, {7, 9, "omp", {1}}}), pinning),
      Sentences{});
  EXPECT_EQ(differences_of_cpus(planned, look_at({{7, 7, "omp", {0}}, {7, 9, "omp", {1}}}), pinning)
                .size(),
            1U);
  EXPECT_EQ(differences_of_cpus(planned, look_at({{7, 8, "omp", {5}}}), pinning).size(), 1U)
      << "that is nobody's plan";
}

TEST(DifferencesOfCpus, BlameOnlyAProgramThatRuns) {
  const auto look = look_at({{7, 7, "python3", {0}}});
  const auto told = [&](std::vector<std::string> argv) {
    return differences_of_cpus(on_cpus({0, 1}), look, {7, std::move(argv), {}}).front();
  };
  EXPECT_THAT(told({"python3", "data/taskset"}), testing::HasSubstr("somebody outside"));
  EXPECT_THAT(told({"bash", "-c", "cat /data/taskset; ./train"}),
              testing::HasSubstr("somebody outside"));
  EXPECT_THAT(told({"bash", "-ec", "cd x && OMP=1 exec /usr/bin/taskset -c 0 x"}),
              testing::HasSubstr("`taskset` in the command"));
  EXPECT_THAT(told({"sh", "-c", "cd x;numactl -C 0 x"}), testing::HasSubstr("`numactl` in"));
}

TEST(DifferencesOfCpus, AreNoneInsideTheCoresWhereOmpBindingIsAskedFor) {
  RankProgram program{7, {"./train"}, {{"OMP_PROC_BIND", "close"}}};
  program.omp_binding = true;
  const auto planned = on_cpus({0, 1});
  EXPECT_EQ(differences_of_cpus(planned, look_at({{7, 7, "train", {0}}}), program), Sentences{});
  EXPECT_EQ(differences_of_cpus(planned, look_at({{7, 7, "train", {3}}}), program),
            Sentences{"process 7 (train) may use CPU 3, planned 0-1; resources.omp_binding may do "
                      "this"});
}

TEST(DifferencesOfCpus, SayWhereTheLauncherWasNarrowedToo) {
  RankProgram program{7, {"./train"}, {}};
  program.launcher_cpus = {0};
  EXPECT_EQ(differences_of_cpus(on_cpus({0, 1}), look_at({{7, 7, "train", {0}}}), program),
            Sentences{"process 7 (train) may use CPU 0 only, planned 0-1; muster itself may use "
                      "CPU 0 only by now: somebody has made the cpuset of both smaller, or moved "
                      "both"});
}

TEST(DifferencesOfCpus, OfARankThatIsNotBoundAreThoseFromItsStart) {
  RankPlacement planned = on_cpus({0, 1});
  planned.bound = false;
  RankProgram program;
  EXPECT_EQ(differences_of_cpus(planned, look_at({{7, 7, "x", {0}}}), program), Sentences{});
  program.cpus_at_start = {0, 1, 2, 3};
  EXPECT_EQ(differences_of_cpus(planned, look_at({{7, 7, "x", {0}}}), program),
            Sentences{"process 7 (x) may use CPU 0 only, at its start 0-3" + kItself});
}

TEST(DifferencesOfCpus, ShowNoControlCharactersOfAName) {
  const auto told =
      differences_of_cpus(on_cpus({0, 1}), look_at({{7, 7, "a\x1b[31m\n", {0}}}), {}).front();
  EXPECT_EQ(told.find_first_of("\x1b\n"), std::string::npos) << told;
}

TEST(DifferencesOfMemory, AreNoneWhereThePolicyIsThePlans) {
  EXPECT_EQ(differences_of_memory(on_cpus({0}, {1}), memory("preferred:1")), Sentences{});
  RankPlacement strict = on_cpus({0}, {0, 1});
  strict.memory_policy = config::MemoryPolicy::kStrict;
  EXPECT_EQ(differences_of_memory(strict, memory("bind:0-1")), Sentences{});
  strict.memory_policy = config::MemoryPolicy::kInterleave;
  EXPECT_EQ(differences_of_memory(strict, memory("interleave:0-1")), Sentences{});
  EXPECT_EQ(differences_of_memory(on_cpus({0}, {0, 1}), memory("preferred:0")), Sentences{})
      << "an old kernel prefers one node only";
}

TEST(DifferencesOfMemory, NameThePolicyThatIsAnother) {
  EXPECT_EQ(differences_of_memory(on_cpus({0}, {1}), memory("default")),
            Sentences{"its memory policy is default, planned preferred:1"});
  EXPECT_EQ(differences_of_memory(on_cpus({0}, {1}), memory("preferred:0")),
            Sentences{"its memory policy is preferred:0, planned preferred:1"});
  EXPECT_EQ(differences_of_memory(on_cpus({0}, {1}), memory("interleave:0-3")),
            Sentences{"its memory policy is interleave:0-3, planned preferred:1"});
}

TEST(DifferencesOfMemory, NameNodesThatMayNotBeUsed) {
  EXPECT_EQ(differences_of_memory(on_cpus({0}, {1}), memory("preferred:1", "0,2")),
            Sentences{"memory may come from NUMA nodes 0,2 only, planned 1"});
}

TEST(DifferencesOfMemory, AreNoneWhereNothingIsPlannedOrKnownOrElsewhere) {
  EXPECT_EQ(differences_of_memory(on_cpus({0}), memory("default")), Sentences{});
  EXPECT_EQ(differences_of_memory(on_cpus({0}, {1}), memory("")), Sentences{});
  EXPECT_EQ(differences_of_memory(on_cpus({0}, {0}), memory("default", "0")), Sentences{})
      << "all memory is on node 0: a sandbox that forbids the policy changes nothing";
  RankPlacement none = on_cpus({0}, {1});
  none.memory_policy = config::MemoryPolicy::kNone;
  EXPECT_EQ(differences_of_memory(none, memory("default")), Sentences{});
}

TEST(ChangesOfMemory, AreThoseSinceTheStart) {
  EXPECT_EQ(changes_of_memory(memory("preferred:0", "0"), memory("preferred:0", "0")), Sentences{});
  EXPECT_EQ(changes_of_memory(memory("", "0"), memory("default", "0")), Sentences{});
  EXPECT_EQ(changes_of_memory(memory("preferred:0", "0"), memory("default", "0")),
            Sentences{"its memory policy is default, at its start preferred:0; the program or a "
                      "library did this"});
}

std::vector<RankPlacement> two_ranks_with_gpus() {
  std::vector<RankPlacement> ranks(2);
  for (int i = 0; i < 2; ++i) {
    auto& gpu = ranks[static_cast<std::size_t>(i)].gpus.emplace_back();
    gpu.visible_ordinal = i;
    gpu.uuid = i == 0 ? "GPU-a" : "GPU-b";
  }
  return ranks;
}

TEST(DifferencesOfGpus, NameWhatIsNotTheRanksOwn) {
  const auto ranks = two_ranks_with_gpus();
  const std::string cause = "; a program that does not choose its GPU by LOCAL_RANK does this";
  EXPECT_EQ(differences_of_gpus(ranks, 1, {"GPU-b"}), Sentences{});
  EXPECT_EQ(differences_of_gpus(ranks, 1, {}), Sentences{}) << "not known";
  EXPECT_EQ(differences_of_gpus(ranks, 1, {"GPU-a"}),
            Sentences{"it uses GPU 0 (GPU-a), planned GPU 1 (GPU-b)" + cause});
  EXPECT_EQ(differences_of_gpus(ranks, 1, {"GPU-a", "GPU-b"}),
            Sentences{"it uses GPU 0 (GPU-a) besides its own" + cause});
}

TEST(DifferencesOfGpus, SayWhatTheLocalRankIsNot) {
  std::vector<RankPlacement> ranks(2);
  for (int i = 0; i < 4; ++i) {
    auto& rank = ranks[static_cast<std::size_t>(i / 2)];
    rank.local_rank = i / 2;
    auto& gpu = rank.gpus.emplace_back();
    gpu.visible_ordinal = i;
    gpu.uuid = "GPU-" + std::to_string(i);
  }
  EXPECT_EQ(differences_of_gpus(ranks, 0, {"GPU-0"}), Sentences{});
  const auto told = differences_of_gpus(ranks, 1, {"GPU-1"});
  ASSERT_EQ(told.size(), 1U);
  EXPECT_THAT(told[0], testing::HasSubstr("it uses GPU 1 (GPU-1), planned GPU 2 (GPU-2), GPU 3"));
  EXPECT_THAT(told[0],
              testing::HasSubstr("uses cuda:LOCAL_RANK does this where ranks have several"));
  EXPECT_THAT(told[0], testing::HasSubstr("gpu_assignment ordinal"));
  EXPECT_THAT(differences_of_gpus(ranks, 1, {"GPU-0"}).front(),
              testing::HasSubstr("does not choose its GPU by LOCAL_RANK"));
}

}  // namespace
}  // namespace muster::plan
