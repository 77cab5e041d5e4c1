#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/plan/rank_environment.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

class ThreadEnvironment : public ::testing::Test {
 protected:
  void use(const std::string& machine_name, int processes) {
    config_ = script_config(processes, config::Backend::kDirect);
    inputs_ = inputs_for(machine(machine_name));
  }
  config::Resources& resources() { return config_.resources; }
  void caller_has(const std::string& name, const std::string& value) {
    inputs_.caller_environment[name] = value;
  }
  void config_sets(const std::string& name, const std::string& value) {
    config_.environment_variables.emplace_back(
        name, config::Setting<std::string>{value, from_line(9, 5, name + ": " + value)});
  }
  void threads(config::ThreadCount count) {
    resources().threads = {count, from_line(8, 12, "threads:")};
  }
  LaunchPlan plan() {
    auto plan = make_plan(config_, inputs_);
    EXPECT_TRUE(plan) << plan.error().message;
    return plan ? *plan : LaunchPlan{};
  }
  std::vector<std::string> warnings() { return plan().warnings; }
  Environment of_rank(int rank) { return complete_rank_environment(plan(), inputs_, rank); }
  std::string reason(const std::string& subject) {
    for (const Reason& reason : plan().reasons) {
      if (reason.subject == subject) return reason.value + " | " + reason.why;
    }
    return "";
  }

  config::RunConfig config_;
  PlanInputs inputs_;
};

const config::ThreadCount kAuto{config::ThreadCount::Kind::kAuto, 0};
const config::ThreadCount kKeep{config::ThreadCount::Kind::kKeep, 0};
const config::ThreadCount kSixteen{config::ThreadCount::Kind::kNumber, 16};

TEST_F(ThreadEnvironment, BindsNoThreadUnlessAsked) {
  use("laptop-4c8t", 2);
  for (const char* name : {"OMP_PLACES", "OMP_PROC_BIND", "KMP_AFFINITY", "GOMP_CPU_AFFINITY",
                           "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_MAX_THREADS"}) {
    EXPECT_THAT(of_rank(0), Not(Contains(Key(name))));
  }
  EXPECT_THAT(warnings(), IsEmpty());
}

TEST_F(ThreadEnvironment, ANumberCountsForEveryRankAndIsWarnedOfAboveItsCores) {
  use("laptop-4c8t", 2);
  threads(kSixteen);
  EXPECT_THAT(of_rank(1), Contains(Pair("OMP_NUM_THREADS", "16")));
  EXPECT_EQ(reason("OMP_NUM_THREADS"), "16 | run.yaml:8:12");
  EXPECT_THAT(warnings(),
              ElementsAre("threads is 16 (run.yaml:8:12), and rank 0 has 2 cores for them"));
}

TEST_F(ThreadEnvironment, WhatTheConfigAsksForWinsOverTheCaller) {
  use("laptop-4c8t", 2);
  caller_has("OMP_NUM_THREADS", "7");
  threads(kAuto);
  EXPECT_THAT(of_rank(0), Contains(Pair("OMP_NUM_THREADS", "2")));
  EXPECT_EQ(reason("OMP_NUM_THREADS"),
            "2 | run.yaml:8:12: whole cores of each rank; the caller's 7 does not count");
  EXPECT_THAT(warnings(), IsEmpty());
  config_sets("OMP_NUM_THREADS", "1");  // and a variable of the config over its resources
  EXPECT_THAT(of_rank(0), Contains(Pair("OMP_NUM_THREADS", "1")));
}

TEST_F(ThreadEnvironment, KeepSetsNothing) {
  use("laptop-4c8t", 2);
  threads(kKeep);
  EXPECT_THAT(of_rank(0), Not(Contains(Key("OMP_NUM_THREADS"))));
  EXPECT_THAT(reason("OMP_NUM_THREADS"), StartsWith("not set | run.yaml:8:12: "));
  caller_has("OMP_NUM_THREADS", "2");
  EXPECT_THAT(of_rank(0), Contains(Pair("OMP_NUM_THREADS", "2")));
  EXPECT_EQ(reason("OMP_NUM_THREADS"), "2 | the caller's environment");
}

TEST_F(ThreadEnvironment, OtherLibrariesAreToldWhenAsked) {
  use("laptop-4c8t", 2);
  resources().thread_variables.value = config::ThreadVariables::kAll;
  caller_has("MKL_NUM_THREADS", "1");
  EXPECT_THAT(of_rank(0),
              IsSupersetOf({Pair("OMP_NUM_THREADS", "2"), Pair("OPENBLAS_NUM_THREADS", "2"),
                            Pair("NUMEXPR_MAX_THREADS", "2"), Pair("MKL_NUM_THREADS", "1")}));
}

TEST_F(ThreadEnvironment, PlacesAreTheRanksOwnCoresByTheKernelsNumbers) {
  use("laptop-4c8t", 2);
  resources().omp_binding = {config::OmpBinding::kClose, from_line(8, 16, "omp_binding: close")};
  caller_has("OMP_PROC_BIND", "spread");
  EXPECT_THAT(of_rank(0),
              IsSupersetOf({Pair("OMP_PROC_BIND", "close"), Pair("OMP_PLACES", "{0,4},{1,5}")}));
  EXPECT_THAT(of_rank(1), Contains(Pair("OMP_PLACES", "{2,6},{3,7}")));
  EXPECT_THAT(warnings(), IsEmpty()) << "it is what the plan says";
  resources().omp_binding.value = config::OmpBinding::kSpread;
  EXPECT_THAT(of_rank(0), Contains(Pair("OMP_PROC_BIND", "spread")));
}

TEST_F(ThreadEnvironment, PlacesAreOfTheCoresThatACpusetLeaves) {
  use("cpuset-2x4", 1);
  resources().omp_binding.value = config::OmpBinding::kClose;
  EXPECT_THAT(of_rank(0), Contains(Pair("OMP_PLACES", "{1,9},{2,10},{13},{14},{15}")));
}

TEST_F(ThreadEnvironment, RanksThatAreNotBoundHaveNoPlaces) {
  use("laptop-4c8t", 9);
  resources().omp_binding = {config::OmpBinding::kClose, from_line(8, 16, "omp_binding: close")};
  EXPECT_THAT(of_rank(0), Not(Contains(Key("OMP_PLACES"))));
  EXPECT_THAT(warnings(), Contains("omp_binding (run.yaml:8:16) sets nothing: the ranks are not "
                                   "bound, so no core is any rank's own"));
}

TEST_F(ThreadEnvironment, WarnsOfAnInheritedProcBind) {
  use("laptop-4c8t", 2);
  caller_has("OMP_PROC_BIND", "TRUE");
  EXPECT_THAT(warnings(),
              ElementsAre(AllOf(StartsWith("OMP_PROC_BIND=TRUE (the caller's environment): "),
                                HasSubstr("moved to one core"), HasSubstr("unset it"))));
  caller_has("OMP_PROC_BIND", "false");
  caller_has("OMP_PLACES", "cores");
  EXPECT_THAT(warnings(), IsEmpty()) << "nothing is bound then, and places are not used";
}

TEST_F(ThreadEnvironment, WarnsOfPlacesWhichBindWithoutProcBindToo) {
  use("laptop-4c8t", 2);
  caller_has("OMP_PLACES", "cores");
  EXPECT_THAT(warnings(),
              ElementsAre(AllOf(StartsWith("OMP_PLACES=cores ("), HasSubstr("moved to one core"))));
  caller_has("OMP_PLACES", "{0},{1}");
  EXPECT_THAT(warnings(), ElementsAre(AllOf(StartsWith("OMP_PLACES={0},{1} ("),
                                            HasSubstr("the same for every rank"))));
}

TEST_F(ThreadEnvironment, WarnsOfThreadsThatLeaveTheRanksCores) {
  use("laptop-4c8t", 2);
  caller_has("GOMP_CPU_AFFINITY", "0 1 4-5");  // rank 0's own
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("also those of rank 1, which has CPUs 2-3,6-7")));
  caller_has("GOMP_CPU_AFFINITY", "0-6:2");
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("also those of rank 0, which has CPUs 0-1,4-5")));
  use("laptop-4c8t", 1);
  caller_has("GOMP_CPU_AFFINITY", "0-3");
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("the main thread the first")));
  caller_has("GOMP_CPU_AFFINITY", "nonsense");
  EXPECT_THAT(warnings(), ElementsAre(StartsWith("GOMP_CPU_AFFINITY=nonsense (")));
}

TEST_F(ThreadEnvironment, WarnsOfIntelsAffinityUnlessItIsOff) {
  use("laptop-4c8t", 2);
  config_sets("KMP_AFFINITY", "granularity=fine,compact,1,0");
  EXPECT_THAT(
      warnings(),
      ElementsAre(StartsWith("KMP_AFFINITY=granularity=fine,compact,1,0 (run.yaml:9:5): ")));
  for (const char* off : {"disabled", "none", "verbose,none", "verbose"}) {
    use("laptop-4c8t", 2);
    caller_has("KMP_AFFINITY", off);
    EXPECT_THAT(warnings(), IsEmpty()) << off;
  }
}

TEST_F(ThreadEnvironment, WarnsOfMoreThreadsThanCores) {
  use("laptop-4c8t", 2);
  caller_has("OMP_NUM_THREADS", "8,2");
  EXPECT_THAT(warnings(),
              ElementsAre("OMP_NUM_THREADS=8,2 (the caller's environment): rank 0 has 2 "
                          "cores for 8 threads; unset it, or set resources.threads to "
                          "auto"));
  caller_has("OMP_NUM_THREADS", "2");
  EXPECT_THAT(warnings(), IsEmpty());
}

}  // namespace
}  // namespace muster::plan
